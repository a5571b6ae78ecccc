package main

import (
	"testing"
	"time"

	"github.com/superbpf/superbpf/optimizer/steps"
)

// Below -O3 two rows tell of the chain, and have more time than -O2; at -O3 it is
// switched off as the others are.
func TestEngineRowsTellOfTheChain(t *testing.T) {
	for level, want := range map[int]int{2: 2, 3: 0} {
		s := engineSettings{settings: settings{level: level, budget: ceiling}, chainBudget: time.Second}
		chain, without := 0, false
		for _, r := range s.rows() {
			if r.chain {
				chain++
			}
			without = without || len(r.off) == 1 && r.off[0] == "chain"
		}
		if chain != want || without != (level == 3) {
			t.Errorf("-O%d: %d rows with the chain, without it: %v", level, chain, without)
		}
	}
	plain := settings{level: 2, budget: ceiling}
	more := settings{level: 3, budget: ceiling, extra: time.Second}
	if got := more.stepsOf(100) - plain.stepsOf(100); got != steps.PerSecond {
		t.Errorf("%d steps more than -O2, want a second's", got)
	}
}
