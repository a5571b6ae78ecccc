// Package optimizer_test checks who imports whom.
package optimizer_test

import (
	"encoding/json"
	"errors"
	"io"
	"os/exec"
	"strings"
	"testing"
)

const module = "github.com/superbpf/superbpf/"

// owners names the only packages (and those below them) that may import each
// foreign library.
var owners = map[string][]string{
	"github.com/cilium/ebpf":         {"optimizer/elf", "loader"},
	"github.com/mitchellh/go-z3":     {"optimizer/smt"},
	"github.com/vishvananda/netlink": {"loader", "traffic"},
	"github.com/google/gopacket":     {"traffic"},
}

func below(path, dir string) bool { return path == dir || strings.HasPrefix(path, dir+"/") }

func TestImports(t *testing.T) {
	cmd := exec.Command("go", "list", "-json=ImportPath,Imports", "-tags=z3cgo", "./...")
	cmd.Dir = ".."
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	seen := 0
	for d := json.NewDecoder(strings.NewReader(string(out))); ; {
		var p struct {
			ImportPath string
			Imports    []string
		}
		if err := d.Decode(&p); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		seen++
		name := strings.TrimPrefix(p.ImportPath, module)
		for _, imp := range p.Imports {
			for lib, allowed := range owners {
				if !below(imp, lib) {
					continue
				}
				ok := false
				for _, a := range allowed {
					ok = ok || below(name, a)
				}
				if !ok {
					t.Errorf("%s imports %s, which is for %v", name, imp, allowed)
				}
			}
			own, local := strings.CutPrefix(imp, module)
			if !local {
				if name == "optimizer/isa" && strings.Contains(strings.Split(imp, "/")[0], ".") {
					t.Errorf("isa imports %s: the standard library only", imp)
				}
				continue
			}
			switch {
			case below(name, "optimizer") && !below(own, "optimizer"):
				t.Errorf("%s imports %s: the optimizer declares interfaces instead", name, own)
			case name == "optimizer/isa":
				t.Errorf("isa imports %s", own)
			case name == "optimizer/prog" && own != "optimizer/isa":
				t.Errorf("prog imports %s: isa only", own)
			case below(name, "measure") && below(own, "optimizer"), below(name, "traffic") && below(own, "optimizer"):
				t.Errorf("%s imports %s: measurement knows nothing of the optimizer", name, own)
			}
		}
	}
	if seen < 10 {
		t.Fatalf("only %d packages found", seen)
	}
}
