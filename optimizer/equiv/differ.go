package equiv

import (
	"fmt"

	"github.com/superbpf/superbpf/optimizer/equiv/environ"
	"github.com/superbpf/superbpf/optimizer/isa"
	"github.com/superbpf/superbpf/optimizer/prog"
)

// What a search for a difference spends: environments, and instructions in each.
const (
	tellWorlds = 48
	tellSteps  = 4000
)

// tell looks for an environment in which q does something else than p, and says
// what; empty when it finds none. It is asked after a proof failed, to tell
// "wrong" from "don't know". Calls of which nothing is known end it: what they
// see of registers that they do not read is no difference.
func tell(p, q *prog.Func) string {
	for _, f := range []*prog.Func{p, q} {
		for k := range f.Insns {
			in := &f.Insns[k]
			if in.IsCall() && (in.Row().Kind != isa.KindCallHelper || !isa.HelperOf(int32(in.Imm)).Known) {
				return ""
			}
		}
	}
	for seed := range uint64(tellWorlds) {
		w := environ.NewWorld(seed, p)
		a, err := environ.Run(p, w, tellSteps)
		if err != nil {
			continue
		}
		b, err := environ.Run(q, w, 2*tellSteps)
		if err != nil {
			return fmt.Sprintf("in environment %d the second one: %v", seed, err)
		}
		if d := a.Differs(b, ResultWidth(p)); d != "" {
			return fmt.Sprintf("in environment %d: %s", seed, d)
		}
	}
	return ""
}
