package search

import "fmt"

// Settings are the parameters of a chain. The five published ones are in
// Table 8 of the K2 paper.
type Settings struct {
	Name string
	// Popcount measures error by differing bits instead of absolute distance.
	Popcount bool
	// Average divides the error by the number of tests.
	Average bool
	// Alpha weighs error, Beta weighs cost.
	Alpha, Beta float64
	// Probabilities of the moves; they sum to 1.
	Instruction, Operand, Nop, Memory1, Memory2, Contiguous float64
}

// Published are K2's five best settings, by their numbers.
var Published = []Settings{
	{"1", false, false, 0.5, 5, 0.2, 0.4, 0.15, 0.2, 0, 0.05},
	{"2", true, false, 0.5, 5, 0.17, 0.33, 0.15, 0.17, 0, 0.18},
	{"3", true, false, 0.5, 5, 0.2, 0.4, 0.15, 0.2, 0, 0.05},
	{"4", false, false, 0.5, 5, 0.17, 0.33, 0.15, 0, 0.17, 0.18},
	{"5", false, true, 0.5, 1.5, 0.17, 0.33, 0.15, 0, 0.17, 0.18},
}

// Setting finds a published setting by name.
func Setting(name string) (Settings, error) {
	for _, s := range Published {
		if s.Name == name {
			return s, nil
		}
	}
	return Settings{}, fmt.Errorf("unknown search setting %q: 1 to %d", name, len(Published))
}
