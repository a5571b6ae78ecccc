package main

import (
	"context"
	"flag"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"github.com/superbpf/superbpf/benchmarks"
	"github.com/superbpf/superbpf/optimizer/pipeline"
)

var update = flag.Bool("update", false, "write the generated parts of README.md")

const readme = "../../README.md"

// section returns the part of the README between two markers.
func section(t *testing.T, text, name string) (before, part, after string) {
	t.Helper()
	begin, end := "<!-- "+name+": begin -->\n", "<!-- "+name+": end -->"
	i := strings.Index(text, begin)
	j := strings.Index(text, end)
	if i < 0 || j < i {
		t.Fatalf("README.md has no section %q", name)
	}
	i += len(begin)
	return text[:i], text[i:j], text[j:]
}

func check(t *testing.T, name, want string) {
	t.Helper()
	b, err := os.ReadFile(readme)
	if err != nil {
		t.Fatal(err)
	}
	before, part, after := section(t, string(b), name)
	if part == want {
		return
	}
	if *update {
		if err := os.WriteFile(readme, []byte(before+want+after), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	t.Errorf("section %q of README.md is out of date: go test ./cmd/superbpf -run README -update\nhave:\n%s\nwant:\n%s", name, part, want)
}

// The README's example is what the program does.
func TestREADMEDifference(t *testing.T) {
	if os.Geteuid() != 0 {
		if os.Getenv("SUPERBPF_REQUIRE_KERNEL") != "" {
			t.Fatal("needs root")
		}
		t.Skip("needs root")
	}
	suite, err := benchmarks.Load("k2")
	if err != nil {
		t.Fatal(err)
	}
	for _, b := range suite {
		if b.Name != "xdp_map_access" {
			continue
		}
		raw, err := b.Compile(context.Background(), "O2", "v2")
		if err != nil {
			t.Fatal(err)
		}
		opt, err := newOptimization(context.Background(), b.Name, raw, &settings{objective: "latency", level: 2, solver: "auto", seed: 1})
		if err != nil {
			t.Fatal(err)
		}
		defer opt.Close()
		res, err := pipeline.Optimize(context.Background(), opt.Object, opt.Options)
		if err != nil {
			t.Fatal(err)
		}
		fr := res.Functions[0]
		check(t, "difference", "```diff\n"+pipeline.Diff(fr.Input, fr.Output, 1)+"```\n")
	}
}

// The README's table is the short form of the one in results: of the one that came
// with it, where a run of the suite has written another one since.
func TestREADMETable(t *testing.T) {
	const file = "results/k2-v2-latency.tsv"
	b, err := os.ReadFile("../../" + file)
	if err != nil {
		t.Fatal(err)
	}
	want := readmeTable(string(b))
	text, err := os.ReadFile(readme)
	if err != nil {
		t.Fatal(err)
	}
	if _, part, _ := section(t, string(text), "table"); part != want && !*update {
		if came, err := exec.Command("git", "-c", "safe.directory=*", "-C", "../..", "show", "HEAD:"+file).Output(); err == nil {
			want = readmeTable(string(came))
		}
	}
	check(t, "table", want)
}

func readmeTable(tsv string) string {
	lines := strings.Split(strings.TrimSpace(tsv), "\n")
	header := strings.Split(lines[0], "\t")
	columns := []string{"program", "best", "superbpf", "saved", "K2 saved", "ratio (95 %)", "verdict"}
	var out strings.Builder
	out.WriteString("| program | best of clang | superbpf | saved | K2 saved | time ratio (95 %) | verdict |\n|---|---|---|---|---|---|---|\n")
	for _, l := range lines[1:] {
		f := strings.Split(l, "\t")
		var cells []string
		for _, c := range columns {
			cells = append(cells, f[slices.Index(header, c)])
		}
		out.WriteString("| " + strings.Join(cells, " | ") + " |\n")
	}
	return out.String()
}
