package main

import (
	"encoding/json"
	"path/filepath"
	"strings"
	"testing"
)

func TestKernelNames(t *testing.T) {
	in, out := object(t, twoPrograms), filepath.Join(t.TempDir(), "out.o")
	for kernels, want := range map[string]string{"6.1,6.1": "twice", "newest": "no kernel version", "6.1/..": "no kernel version"} {
		if _, msg, code := run(t, "optimize", in, "-o", out, "--kernels", kernels); code != exitUsage || !strings.Contains(msg, want) {
			t.Errorf("--kernels %s: exit code %d: %s", kernels, code, msg)
		}
	}
	t.Setenv("PATH", t.TempDir())
	if _, msg, code := run(t, "optimize", in, "-o", out, "--kernels", "6.12"); code != 1 || !strings.Contains(msg, "apt-get install") {
		t.Errorf("without an emulator: exit code %d: %s", code, msg)
	}
}

// Whatever a host lacks, probe says what to do about it.
func TestProbe(t *testing.T) {
	for _, path := range []string{"", t.TempDir()} {
		if path != "" {
			t.Setenv("PATH", path)
		}
		text, msg, code := run(t, "probe", "--json")
		var f findings
		if err := json.Unmarshal([]byte(text), &f); err != nil || code != 0 || len(f.Findings) < 10 || f.Host.Kernel == "" {
			t.Fatalf("exit code %d, %v: %s%s", code, err, text, msg)
		}
		lacks := 0
		for _, x := range f.Findings {
			if !x.OK {
				lacks++
			}
			if x.State == "" && x.OK || x.OK == (x.Remedy != "") {
				t.Errorf("%+v", x)
			}
		}
		if path != "" && lacks < 4 {
			t.Errorf("nothing is missing where nothing is: %s", text)
		}
	}
}

func TestVerifyAsksKernels(t *testing.T) {
	needRoot(t)
	in, out := object(t, twoPrograms), filepath.Join(t.TempDir(), "out.o")
	if _, msg, code := run(t, "optimize", in, "-o", out, "-O1", "--no-measure"); code != 0 {
		t.Fatalf("exit code %d: %s", code, msg)
	}
	text, msg, code := run(t, "verify", in, out, "--kernels", "running")
	if code != 0 || !strings.Contains(text, "running ") || !strings.Contains(text, "refused: ") {
		t.Errorf("exit code %d: %s%s", code, text, msg)
	}
}
