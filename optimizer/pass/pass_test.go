package pass

import (
	"context"
	"testing"

	"github.com/superbpf/superbpf/optimizer/cost"
	"github.com/superbpf/superbpf/optimizer/equiv"
	"github.com/superbpf/superbpf/optimizer/isa"
	"github.com/superbpf/superbpf/optimizer/pipeline"
	"github.com/superbpf/superbpf/optimizer/prog"
)

type prover struct{ v *equiv.Validator }

func (p prover) Prove(ctx context.Context, a, b *prog.Func) pipeline.Proof {
	r := p.v.Func(ctx, a, b)
	return pipeline.Proof{Equal: r.Verdict == equiv.Equal, Verdict: r.Verdict.String(), Reason: r.Reason}
}

func TestTableNamesAreUnique(t *testing.T) {
	seen := map[string]bool{}
	for _, n := range Names() {
		if seen[n] {
			t.Errorf("two passes are called %s", n)
		}
		seen[n] = true
	}
	_ = cost.Size
	_ = isa.R0
}
