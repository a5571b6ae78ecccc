package locks

import (
	"context"
	"flag"
	"testing"

	"github.com/superbpf/superbpf/loader/kerneltest"
)

var judged = flag.Int("safety.programs", 3000, "damaged programs to hold the model of the checker against the kernel with")

// The model of the kernel's checker may let pass what the kernel refuses, seldom;
// what it refuses, the kernel must refuse, but for a trace. `superbpf bench
// safety` runs more, over the suites' programs too.
func TestSafetyAgreesWithTheKernel(t *testing.T) {
	kerneltest.Require(t)
	j, err := JudgeSafety(context.Background(), nil, *judged, *seed, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%+v", *j)
	if j.BothYes == 0 || j.BothNo == 0 {
		t.Error("no program is accepted, or none refused: nothing was compared")
	}
	if 1000*j.OnlyKernel > 5*j.Programs {
		t.Errorf("safety refuses %d of %d programs that the kernel takes: %v", j.OnlyKernel, j.Programs, j.Why)
	}
	if 100*j.OnlySafety > 2*j.Programs {
		t.Errorf("safety takes %d of %d programs that the kernel refuses: %v", j.OnlySafety, j.Programs, j.Why)
	}
}
