package elf

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/superbpf/superbpf/optimizer/prog"
)

// TestTruncated cuts an object at every offset: an error or an object, never a
// crash, and never other bytes than came in.
func TestTruncated(t *testing.T) {
	raw := compile(t, "legacy.c")
	for n := range raw {
		o, err := Read(raw[:n:n])
		if err != nil {
			continue
		}
		if out, err := o.Encode(nil); err == nil && !bytes.Equal(out, raw[:n]) {
			t.Fatalf("cut at %d: the output differs from the input", n)
		}
	}
}

// libbpf loads a raw object and lists the programs that it pinned, in mount
// namespaces that go away.
func libbpf(t *testing.T, raw []byte) (programs []string, message string) {
	file := filepath.Join(t.TempDir(), "x.o")
	if err := os.WriteFile(file, raw, 0o644); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("unshare", "-m", "sh", "-c", `mount -t bpf bpf "$1" && bpftool prog loadall "$2" "$1/p" && ls "$1/p"`, "sh", t.TempDir(), file)
	var errs bytes.Buffer
	cmd.Stderr = &errs
	out, err := cmd.Output()
	if err != nil {
		return nil, errs.String()
	}
	programs = strings.Fields(string(out))
	slices.Sort(programs)
	return programs, ""
}

// What libbpf loads of an object it loads of the object written anew, whether
// code was inserted, removed, or padded in place.
func TestLibbpfLoadsWhatWasWritten(t *testing.T) {
	if _, err := exec.LookPath("bpftool"); err != nil || os.Geteuid() != 0 {
		t.Skip("needs bpftool and root")
	}
	for _, name := range []string{"sample.c", "tables.c"} {
		for _, flags := range [][]string{{"-g", "-mcpu=v1"}, {"-g", "-mcpu=v3"}, {"-g", "-mcpu=v4", "-O1"}} {
			raw := compile(t, name, flags...)
			want, msg := libbpf(t, raw)
			if len(want) == 0 {
				t.Fatalf("%s %v: the input does not load: %s", name, flags, msg)
			}
			o := read(t, raw)
			repl := map[int]*prog.Func{}
			for i, f := range o.Functions() {
				repl[i] = edit(f, true)
			}
			grown, err := o.Encode(repl)
			if err != nil {
				t.Fatal(err)
			}
			o2 := read(t, grown)
			repl = map[int]*prog.Func{}
			for i, f := range o2.Functions() {
				repl[i] = edit(f, false)
			}
			shrunk, err := o2.Encode(repl)
			if err != nil {
				t.Fatal(err)
			}
			o2.InPlace = true
			padded, err := o2.Encode(repl)
			if err != nil {
				t.Fatal(err)
			}
			for form, b := range map[string][]byte{"grown": grown, "shrunk": shrunk, "padded": padded} {
				if got, msg := libbpf(t, b); !slices.Equal(got, want) {
					t.Errorf("%s %v, %s: libbpf loads %v, not %v: %s", name, flags, form, got, want, msg)
				}
			}
		}
	}
}
