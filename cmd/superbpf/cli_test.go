package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"unicode/utf8"
)

// run executes the program in-process and returns what it printed and the exit
// code.
func run(t *testing.T, args ...string) (stdout, message string, code int) {
	t.Helper()
	var out, err bytes.Buffer
	c := rootCommand()
	c.SetArgs(args)
	c.SetOut(&out)
	c.SetErr(&err)
	e := c.ExecuteContext(context.Background())
	if e == nil {
		return out.String(), err.String(), 0
	}
	var x exitError
	if errors.As(e, &x) {
		return out.String(), e.Error(), x.code
	}
	return out.String(), e.Error(), 1
}

func needRoot(t *testing.T) {
	if os.Geteuid() != 0 {
		if os.Getenv("SUPERBPF_REQUIRE_KERNEL") != "" {
			t.Fatal("needs root")
		}
		t.Skip("needs root")
	}
}

// object compiles C of this test.
func object(t *testing.T, source string, flags ...string) string {
	clang, err := exec.LookPath("clang-19")
	if err != nil {
		if clang, err = exec.LookPath("clang"); err != nil {
			t.Skip("clang is missing")
		}
	}
	dir := t.TempDir()
	src, out := filepath.Join(dir, "in.c"), filepath.Join(dir, "in.o")
	if err := os.WriteFile(src, []byte(source), 0o644); err != nil {
		t.Fatal(err)
	}
	args := append([]string{"-target", "bpf", "-O2", "-g", "-I/usr/include/x86_64-linux-gnu", "-c", src, "-o", out}, flags...)
	if b, err := exec.Command(clang, args...).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, b)
	}
	return out
}

const header = `#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>
char LICENSE[] SEC("license") = "GPL";
`

const twoPrograms = header + `
SEC("xdp") int good(struct xdp_md *ctx) { volatile int x = ctx->rx_queue_index; return x > 3 ? XDP_PASS : XDP_DROP; }
SEC("xdp") int bad(struct xdp_md *ctx) { char *p = (char *)(long)ctx->data; return p[1]; }
`

// Each mistake gets its exit code and says what to do.
func TestBadCommandLines(t *testing.T) {
	dir := t.TempDir()
	file := func(name, content string) string {
		p := filepath.Join(dir, name)
		if err := os.WriteFile(p, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
		return p
	}
	text := file("text.o", "hello, this is no object")
	empty := file("empty.o", "")
	link, hard := filepath.Join(dir, "link.o"), filepath.Join(dir, "hard.o")
	if err := errors.Join(os.Symlink(text, link), os.Link(text, hard)); err != nil {
		t.Fatal(err)
	}
	out := filepath.Join(dir, "out.o")
	for _, c := range []struct {
		args []string
		code int
		says string
	}{
		{[]string{"optimize", text}, exitUsage, "-o"},
		{[]string{"optimize", text, "-o", text}, exitUsage, "is the input"},
		{[]string{"optimize", text, "-o", link}, exitUsage, "is the input"},
		{[]string{"optimize", text, "-o", hard}, exitUsage, "is the input"},
		{[]string{"optimize", text, "-o", dir}, exitUsage, "is a directory"},
		{[]string{"optimize", text, "-o", filepath.Join(dir, "none", "out.o")}, exitUsage, "does not exist"},
		{[]string{"optimize", filepath.Join(dir, "missing.o"), "-o", out}, 1, "no such file"},
		{[]string{"optimize", dir, "-o", out}, 1, "is a directory"},
		{[]string{"optimize", text, "-o", out}, 1, "not an ELF file"},
		{[]string{"optimize", empty, "-o", out}, 1, "not an ELF file"},
		{[]string{"optimize", "/proc/self/exe", "-o", out}, 1, "clang -target bpf"},
		{[]string{"optimize", text, "-o", out, "-O9"}, exitUsage, "-O"},
		{[]string{"optimize", text, "-o", out, "--steps", "nan"}, exitUsage, "--steps"},
		{[]string{"optimize", text, "-o", out, "--type", "foo"}, exitUsage, "section name"},
		{[]string{"optimize", text, "-o", out, "--steps", "1e300"}, exitUsage, "--steps"},
		{[]string{"optimize", text, "-o", out, "--total-budget", "-1s"}, exitUsage, "--total-budget"},
		{[]string{"optimize", text, "-o", out, "--objective", "luck"}, exitUsage, "luck"},
		{[]string{"optimize", text, text, "-o", out}, exitUsage, "want 1"},
		{[]string{"optimize", "--nonsense"}, exitUsage, "--help"},
		{[]string{"verify", text, text}, 1, "not an ELF file"},
		{[]string{"verify", text}, exitUsage, "want 2"},
		{[]string{"explain", text, text}, 1, "not an ELF file"},
		{[]string{"measure", text, text}, 1, "not an ELF file"},
	} {
		if _, msg, code := run(t, c.args...); code != c.code || !strings.Contains(msg, c.says) {
			t.Errorf("%v: exit code %d, %q; want %d, %q", c.args, code, msg, c.code, c.says)
		}
	}
	if _, err := os.Stat(out); err == nil {
		t.Error("a failed run left an output")
	}
	if left, _ := filepath.Glob(filepath.Join(dir, ".*")); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

func TestBigEndianIsRefused(t *testing.T) {
	_, msg, code := run(t, "optimize", object(t, twoPrograms, "-target", "bpfeb"), "-o", filepath.Join(t.TempDir(), "out.o"))
	if code != 1 || !strings.Contains(msg, "little-endian") {
		t.Errorf("exit code %d, %q", code, msg)
	}
}

// A program that the kernel refuses stays as it is; the others are optimized,
// and table and JSON say why, in lines of bounded length.
func TestRefusedInputIsLeftAlone(t *testing.T) {
	needRoot(t)
	in := object(t, twoPrograms)
	out := filepath.Join(t.TempDir(), "out.o")
	table, msg, code := run(t, "optimize", in, "-o", out, "-O1", "--no-measure")
	if code != 0 {
		t.Fatalf("exit code %d: %s", code, msg)
	}
	if !strings.Contains(table, "left alone [1]") || !strings.Contains(table, "bad: the kernel refuses the input: running") {
		t.Errorf("the table does not say why:\n%s", table)
	}
	for _, l := range strings.Split(table, "\n") {
		if utf8.RuneCountInString(l) > 120 {
			t.Errorf("a line of %d characters: %s", utf8.RuneCountInString(l), l)
		}
	}
	text, _, code := run(t, "optimize", in, "-o", out, "-O1", "--no-measure", "--json")
	var j jsonResult
	if err := json.Unmarshal([]byte(text), &j); err != nil || code != 0 {
		t.Fatalf("exit code %d, %v: %s", code, err, text)
	}
	for _, f := range j.Functions {
		if (f.LeftAlone != "") != (f.Name == "bad") {
			t.Errorf("%s: left alone: %q", f.Name, f.LeftAlone)
		}
	}
}

// What became of the chains' proposals is in the report and in the JSON, with the
// same sums.
func TestMovesAreShown(t *testing.T) {
	needRoot(t)
	in := object(t, twoPrograms)
	out := filepath.Join(t.TempDir(), "out.o")
	text, msg, code := run(t, "optimize", in, "-o", out, "--chain", "1", "--steps", "0.2", "--no-measure", "--json", "--disable", "passes,rules,enumeration")
	var j jsonResult
	if err := json.Unmarshal([]byte(text), &j); err != nil || code != 0 {
		t.Fatalf("exit code %d, %v: %s%s", code, err, text, msg)
	}
	sum, taken := 0, 0
	for _, f := range j.Functions {
		for _, m := range f.Moves {
			if m.Search != "chain" || m.Proposed != m.NoChange+m.Registers+m.Price+m.Tests+m.Taken {
				t.Errorf("%+v", m)
			}
			sum, taken = sum+m.Proposed, taken+m.Taken
		}
	}
	b, err := os.ReadFile(out + ".report.txt")
	if err != nil || taken == 0 || !strings.Contains(string(b), fmt.Sprintf("all    %d", sum)) {
		t.Errorf("%d proposals, %d taken, %v; report:\n%s", sum, taken, err, b)
	}
}

func TestWrap(t *testing.T) {
	var b bytes.Buffer
	if err := wrap(&b, "[1] a: some words that need more than one line", 20, "    "); err != nil {
		t.Fatal(err)
	}
	if want := "[1] a: some words\n    that need more\n    than one line\n"; b.String() != want {
		t.Errorf("got\n%swant\n%s", b.String(), want)
	}
	if s := shorten("a_rather_long_function_name", 11); s != "a_rat…_name" {
		t.Errorf("shorten: %q", s)
	}
}

// An interruption is named so, and hides nothing that went wrong besides.
func TestMessageOfInterruption(t *testing.T) {
	err := errors.Join(fmt.Errorf("measure: %w", context.Canceled), errors.New("cannot delete the namespace"))
	if got := message(err); got != "measure: interrupted\ncannot delete the namespace" {
		t.Errorf("%q", got)
	}
}
