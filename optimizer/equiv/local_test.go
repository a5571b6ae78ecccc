package equiv

import (
	"context"
	"testing"

	"github.com/superbpf/superbpf/optimizer/isa"
	"github.com/superbpf/superbpf/optimizer/prog"
)

// A proof by windows may say Equal only if the whole functions were proved, and
// has to manage what happens in one place.
func TestLocalCases(t *testing.T) {
	v := validator(t, Options{})
	proved := 0
	for _, file := range caseFiles(t) {
		p, q, want := readCase(t, file)
		if prog.SameCode(p, q) {
			continue
		}
		r, _ := forCase(t, v, file).proveLocally(context.Background(), p, q)
		if r.Verdict == Equal {
			proved++
			if want != "Equal" {
				t.Errorf("%s: proved by windows (%s), want %s", file, r.Reason, want)
			}
		}
	}
	if proved < 10 {
		t.Errorf("only %d cases were proved by windows", proved)
	}
}

// What align pairs is equal and in order, and it pairs all that it can.
func TestAlign(t *testing.T) {
	for _, file := range caseFiles(t) {
		p, q, _ := readCase(t, file)
		for _, f := range []*prog.Func{p, q} {
			mate, ok := align(p, f)
			last := -1
			for i, j := range mate {
				if j < 0 {
					if f == p {
						t.Errorf("%s: instruction %d of p has no partner in p", file, i)
					}
					continue
				}
				if !sameInsn(&p.Insns[i], &f.Insns[j]) || j <= last {
					t.Errorf("%s: instruction %d goes with %d", file, i, j)
				}
				last = j
			}
			if !ok {
				t.Errorf("%s: not aligned", file)
			}
		}
	}
}

// A pointer that is a constant further on stays so through loops and joins.
func TestPointersAhead(t *testing.T) {
	v := validator(t, Options{})
	p, q, _ := readCase(t, "testdata/pointer_ahead.txt")
	if r, _ := v.proveLocally(context.Background(), p, q); r.Verdict != Equal || r.Stats.Paths > 40 {
		t.Errorf("%v: %s, %d paths", r.Verdict, r.Reason, r.Stats.Paths)
	}
	p, q, _ = readCase(t, "testdata/pointer_ahead_unnoticed.txt")
	if r, _ := v.proveLocally(context.Background(), p, q); r.Verdict == Equal {
		t.Error("a pointer that is used as it is, though it is further on, was not noticed")
	}
}

// For a body that is taken or left as it is the verdict is the same, without places;
// what was proved is tested in the environments of what it replaces.
func TestWholeAndTests(t *testing.T) {
	v := validator(t, Options{Places: true})
	places := 0
	for _, file := range caseFiles(t) {
		p, q, want := readCase(t, file)
		c := forCase(t, v, file)
		whole := c.prove(context.Background(), p, q, false)
		r := c.prove(context.Background(), p, q, true)
		places += len(r.Places)
		if got := whole.Verdict.String(); got != want || whole.Verdict != r.Verdict {
			t.Errorf("%s: %s without places (%s), %s with; want %s", file, whole.Verdict, whole.Reason, r.Verdict, want)
		}
		if r = c.Func(context.Background(), p, q); r.Verdict == Equal && !prog.SameCode(p, q) && !c.TestsServe(q) {
			t.Errorf("%s: the body that was proved has no tests", file)
		}
		if r.Verdict != Equal && c.TestsServe(q) && !prog.SameCode(p, q) {
			t.Errorf("%s: tests of p serve for a body that is not proved to replace it", file)
		}
	}
	if places == 0 {
		t.Error("no case has a place that is not proved")
	}
}

// What a register of the second function holds that the first does not read any more
// is known further on, through loops and joins, if it does not change.
func TestValuesHeld(t *testing.T) {
	v := validator(t, Options{})
	p, q, _ := readCase(t, "testdata/value_held.txt")
	if r, _ := v.proveLocally(context.Background(), p, q); r.Verdict != Equal || r.Stats.Paths > 40 {
		t.Errorf("%v: %s, %d paths", r.Verdict, r.Reason, r.Stats.Paths)
	}
	for _, wrong := range []string{"value_held_wrong", "value_held_lost"} {
		p, q, _ = readCase(t, "testdata/"+wrong+".txt")
		if r, _ := v.proveLocally(context.Background(), p, q); r.Verdict == Equal {
			t.Errorf("%s was not noticed", wrong)
		}
	}
}

// The variables of cuts in a loop do not last, those of others do.
func TestLasting(t *testing.T) {
	v := validator(t, Options{})
	p, _, _ := readCase(t, "testdata/value_held.txt")
	vals, err := v.Values(context.Background(), p)
	if err != nil {
		t.Fatal(err)
	}
	var lasting, not int
	for k := range p.Insns {
		r9 := vals.Before[k].Regs[isa.R9]
		inLoop := k > 4 && k < 16 // up to the next join
		switch {
		case r9 == 0:
		case vals.lasts(r9):
			lasting++
			if inLoop {
				t.Errorf("before %d: %s", k, vals.C.String(r9))
			}
		default:
			not++
			if k >= 16 {
				t.Errorf("before %d: %s", k, vals.C.String(r9))
			}
		}
	}
	if lasting == 0 || not == 0 {
		t.Errorf("%d values last, %d do not", lasting, not)
	}
}
