package testbed

import (
	"testing"

	"github.com/superbpf/superbpf/loader"
	"github.com/superbpf/superbpf/loader/kerneltest"
)

func TestProbes(t *testing.T) {
	kerneltest.Require(t)
	for _, c := range append(Probe(), loader.ProbePrograms()...) {
		t.Logf("%-30s %-5v %s", c.Name, c.OK, c.Note)
		if !c.OK && c.Note == "" {
			t.Errorf("%s is missing and nothing says why", c.Name)
		}
	}
	list, err := loader.Interfaces()
	if err != nil || len(list) == 0 {
		t.Errorf("interfaces: %v, %v", list, err)
	}
	t.Logf("%+v", list)
	t.Logf("%+v, PMU %v", loader.ProbeHost(), loader.HasPMU())
}
