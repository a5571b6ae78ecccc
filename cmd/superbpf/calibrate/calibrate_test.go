package calibrate

import (
	"strings"
	"testing"

	"github.com/superbpf/superbpf/loader/kerneltest"
	"github.com/superbpf/superbpf/optimizer/isa"
)

func allProbes() []probe {
	out := append(rowProbes(), otherProbes()...)
	return append(out, helperProbes()...)
}

func TestProbesAreUniqueAndAssemble(t *testing.T) {
	seen := map[string]bool{}
	for _, p := range allProbes() {
		if seen[p.key] || p.n <= 0 {
			t.Errorf("%s: twice, or without copies", p.key)
		}
		seen[p.key] = true
		if _, err := p.program(3); err != nil {
			t.Errorf("%s: %v", p.key, err)
		}
	}
	for _, r := range isa.Rows() {
		if (r.Kind == isa.KindALU || r.Kind == isa.KindLoad || r.Kind == isa.KindStore || r.Kind == isa.KindCondJump) && !seen[r.Name] {
			t.Errorf("no probe for %s", r.Name)
		}
	}
}

// The running kernel takes what every kernel since 6.1 has.
func TestProbesLoad(t *testing.T) {
	kerneltest.Require(t)
	for _, p := range allProbes() {
		if op := isa.ByName(p.key); op != 0 && isa.RowOf(op).MinCPU > 3 {
			continue
		}
		i, err := subject(&p).Load()
		if err != nil && strings.Contains(err.Error(), "cannot use helper") {
			t.Logf("%s: not for this type of program on this kernel", p.key)
			continue
		}
		if err != nil {
			t.Errorf("%s: %v", p.key, err)
			continue
		}
		if err := i.Close(); err != nil {
			t.Errorf("%s: %v", p.key, err)
		}
	}
}
