package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/superbpf/superbpf/measure"
)

// What report says of an object is what optimize said of it; a certificate of
// another object is none.
func TestReportOfObjects(t *testing.T) {
	needRoot(t)
	in, dir := object(t, twoPrograms), t.TempDir()
	out := filepath.Join(dir, "a.o")
	text, msg, code := run(t, "optimize", in, "-o", out, "-O1", "--json", "--programs", "good")
	var made jsonResult
	if err := json.Unmarshal([]byte(text), &made); err != nil || code != 0 {
		t.Fatalf("exit code %d, %v: %s", code, err, msg)
	}
	for _, path := range []string{out, dir} {
		text, msg, code = run(t, "report", path, "--json")
		var got reported
		if err := json.Unmarshal([]byte(text), &got); err != nil || code != 0 || len(got.Objects) != 1 {
			t.Fatalf("exit code %d, %v: %s%s", code, err, text, msg)
		}
		for k, f := range got.Objects[0].Functions {
			want, sum := made.Functions[k], 0
			for _, n := range f.Saved {
				sum += n
			}
			if f.Name != want.Name || f.Before != want.SlotsBefore || f.After != want.SlotsAfter || f.Rewrites != len(want.Steps) || sum != f.Before-f.After {
				t.Errorf("report says %+v, optimize %+v", f, want)
			}
			if f.Name == "good" && (f.Rewrites == 0 || len(f.Kernels) == 0) {
				t.Errorf("%+v", f)
			}
		}
	}
	if text, msg, code = run(t, "report", "-v", out); code != 0 || !strings.Contains(text, "slots saved by:") || !strings.Contains(text, "step 1:") {
		t.Errorf("exit code %d: %s%s", code, text, msg)
	}
	// Another object under the certificate's name.
	raw, err := os.ReadFile(in)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(out, raw, 0o644); err != nil {
		t.Fatal(err)
	}
	if text, msg, code = run(t, "report", dir); code != 1 || !strings.Contains(text, "another output object") || !strings.Contains(msg, "1 of 1") {
		t.Errorf("exit code %d: %s%s", code, text, msg)
	}
}

// The tables of a run are made from its records alone, in the run's order; tables
// of a part of a suite are named so.
func TestReportOfRecords(t *testing.T) {
	dir := t.TempDir()
	empty := t.TempDir()
	log := measure.Log{Dir: filepath.Join(dir, "records", "20260102-030405")}
	older := measure.Log{Dir: filepath.Join(dir, "records", "20260101-000000")}
	env := measure.CurrentEnv()
	env.Kernel = "9.9.9"
	add := func(l measure.Log, kind, key string, data any) {
		r, err := measure.NewRecord(kind, key, 1, env, data)
		if err == nil {
			err = l.Write(r)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	for k, p := range []string{"zebra", "ant"} {
		add(log, kindSize, p, &outcome{Program: p, Sizes: map[string]int{"O2": 40}, Slots: [2]int{40, 30 - k}})
	}
	add(older, kindSize, "old", &outcome{Program: "old", Slots: [2]int{2, 1}})
	add(log, measure.KindLatency, "zebra", measure.LatencyResult{Rivals: []measure.Diff{{Name: "superbpf", Base: measure.Interval{Mid: 20}, Rival: measure.Interval{Mid: 18}}}})
	if err := os.WriteFile(filepath.Join(log.Dir, runFile), []byte(`{"suite": "k2", "programs": ["zebra", "ant"], "input_mcpu": "v2", "objective": "latency", "seed": 7}`), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		args  []string
		code  int
		want  []string // in this order
		never string
	}{
		{[]string{dir}, 0, []string{"zebra", "25.0 %", "ant", "27.5 %", "mean reduction 26.2 %", "20260102", "Linux 9.9.9"}, "old"},
		{[]string{older.Dir}, 0, []string{"old", "50.0 %"}, "zebra"},
		{[]string{dir, "--kind", "latency"}, 0, []string{"Time per run", "zebra", "20.00", "18.00"}, "mean reduction"},
		{[]string{dir, "--kind", "load"}, exitUsage, []string{"latency size"}, ""},
		{[]string{empty}, exitUsage, []string{"neither objects"}, ""},
		{nil, exitUsage, []string{"name objects"}, ""},
		{[]string{filepath.Join(empty, "none.o")}, 1, []string{"no such file"}, ""},
		{[]string{dir, "--out", filepath.Join(empty, "tables")}, 0, []string{"tables: "}, "zebra"},
		{[]string{older.Dir, "--out", filepath.Join(empty, "tables")}, 1, []string{"run.json is missing"}, ""},
	} {
		text, msg, code := run(t, append([]string{"report"}, c.args...)...)
		text += msg
		at := 0
		for _, w := range c.want {
			n := strings.Index(text[at:], w)
			if n < 0 {
				t.Errorf("%v: %q is not in, or not in order:\n%s", c.args, w, text)
				break
			}
			at += n
		}
		if code != c.code || c.never != "" && strings.Contains(text, c.never) {
			t.Errorf("%v: exit code %d, want %d; %q must not be in\n%s", c.args, code, c.code, c.never, text)
		}
	}
	b, err := os.ReadFile(filepath.Join(empty, "tables", "k2-v2-latency-partial.md"))
	if err != nil || !strings.Contains(string(b), "seed 7, Linux 9.9.9") {
		t.Errorf("%v: %s", err, b)
	}
}
