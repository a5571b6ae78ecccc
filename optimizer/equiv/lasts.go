package equiv

import (
	"fmt"
	"strings"

	"github.com/superbpf/superbpf/optimizer/smt"
)

// lasts tells whether a term of a function's values means the same wherever it may
// be used later in a run: it depends on the variables of no cut that is come to again.
// What a term depends on beside those of cuts is fixed when a run starts.
func (v *Values) lasts(t smt.Term) bool {
	if known, ok := v.lasting[t]; ok {
		return known
	}
	n := v.C.Node(t)
	ok := true
	switch n.Op {
	case smt.OpVar, smt.OpUF:
		ok = !v.renewed(n.Name)
	}
	for _, a := range n.Args {
		ok = ok && v.lasts(a)
	}
	v.lasting[t] = ok
	return ok
}

// renewed: a variable or function of that name is one of a cut, and not surely of one
// that is come to once in a run at most.
func (v *Values) renewed(name string) bool {
	cut := strings.HasPrefix(name, cutName) || strings.HasPrefix(name, stopName)
	return cut && !v.once[name[:strings.LastIndexByte(name, '.')+1]]
}

// Names of the variables of cuts begin so: in proofs of two functions, and of those of
// one function beside itself. Then come numbers and points, the last of them before
// the number of a location.
const (
	cutName  = "cut"
	stopName = "at"
)

// comesOnce lists by name the cuts of a function that is run beside itself that a run
// comes to once at most.
func (s *sim) comesOnce() map[string]bool {
	g := s.p.g
	// A way round goes back in the order of blocks somewhere: all its blocks lie
	// between the ends of such jumps.
	again := make([]int, len(g.Order)+1)
	for _, b := range g.Order {
		for _, from := range g.Blocks[b].Preds {
			if g.Pos[from] >= g.Pos[b] {
				again[g.Pos[b]]++
				again[g.Pos[from]+1]--
			}
		}
	}
	for i := 1; i < len(again); i++ {
		again[i] += again[i-1]
	}
	out := map[string]bool{}
	for at, name := range s.names {
		if p := g.Pos[g.BlockOf[at]]; p >= 0 && again[p] == 0 {
			out[name] = true
		}
	}
	return out
}

func nameOfStop(origin, times int) string { return fmt.Sprintf("%s%d.%d.", stopName, origin, times) }
