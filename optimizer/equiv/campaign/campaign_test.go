package campaign

import (
	"context"
	"flag"
	"os"
	"testing"
	"time"

	"github.com/superbpf/superbpf/optimizer/equiv"
	"github.com/superbpf/superbpf/optimizer/smt"
)

var (
	mutants = flag.Int("mutants", 1500, "damaged functions to try")
	seed    = flag.Uint64("mutant.seed", 1, "seed of the damage")
)

// Damage one place of a function that may replace another; whatever the
// validator still calls Equal must behave the same in every environment tried.
// `superbpf bench mutants` does this for long, over objects too.
func TestMutants(t *testing.T) {
	var corpus []Pair
	for _, glob := range []string{"../testdata/*.txt", "../testdata/bugs/*.txt"} {
		ps, err := Cases(glob)
		if err != nil {
			t.Fatal(err)
		}
		corpus = append(corpus, ps...)
	}
	limits := smt.Limits{Steps: 100_000, Wall: 200 * time.Millisecond}
	attack(t, corpus, *mutants, equiv.Options{TestsLast: true, Limits: limits})
	// With memory that is told apart less.
	attack(t, corpus, *mutants/5, equiv.Options{TestsLast: true, Limits: limits, NoOffsets: true})
	attack(t, corpus, *mutants/5, equiv.Options{TestsLast: true, Limits: limits, NoMaps: true})
	attack(t, corpus, *mutants/5, equiv.Options{TestsLast: true, Limits: limits, NoTypes: true})
}

func attack(t *testing.T, corpus []Pair, n int, o equiv.Options) {
	o.Callee = Callee(corpus)
	v, err := equiv.New(o)
	if err != nil {
		if os.Getenv("SUPERBPF_REQUIRE_Z3") != "" {
			t.Fatal(err)
		}
		t.Skip(err)
	}
	defer v.Close()
	rep, err := Run(context.Background(), v, corpus, Options{Mutants: n, Seed: *seed, Runs: 60, Wall: time.Second})
	if err != nil {
		t.Fatal(err)
	}
	for _, w := range rep.Wrong {
		t.Error(w)
	}
	sum := rep.Sum()
	t.Logf("%d functions, %+v, %d runs of mutants called Equal", rep.Pairs, sum, rep.Compared)
	if sum.Equal == 0 || rep.Compared == 0 {
		t.Error("no mutant was harmless: the check did not check anything")
	}
	if sum.Told == 0 {
		t.Error("no run told a mutant from its original: the runs do not see anything")
	}
}
