package equiv

import (
	"maps"
	"slices"

	"github.com/superbpf/superbpf/optimizer/smt"
	"github.com/superbpf/superbpf/optimizer/symex"
)

// visit is an execution of the code from a cut to the next stops, for the values
// of a function. What comes out depends on what is in it alone, so that it serves
// again where another function has the same code and the same is known there.
type visit struct {
	x  *side
	at int
	// What was known at the cut.
	locs  []location
	mem   map[string]int
	facts []smt.Term

	log    symex.Log // what the engine was told and asked
	points []point
	ends   []end
	served bool // it comes from an earlier function
}

// point is the state before an instruction, and the condition if it is a
// conditional jump.
type point struct {
	at   int
	st   *symex.State
	cond smt.Term
}

// visits are those of the function that was analysed last, by the cut's name.
type visits struct {
	e      *symex.Engine
	slots  []slot
	byName map[string]*visit
}

// serving gives what can serve s; nil if nothing can.
func (v *visits) serving(s *sim) *visits {
	if v == nil || s.v.opt.NoReuse || !s.e.Like(v.e) || !slices.Equal(v.slots, s.slots) {
		return nil
	}
	return v
}

// remember keeps the last visit of each cut.
func (s *sim) remember() *visits {
	out := &visits{s.e, s.slots, map[string]*visit{}}
	for _, k := range s.order {
		out.byName[k.prefix] = s.visits[k.at]
	}
	return out
}

// nameStops names the cuts of a function that is run beside itself: the names stay
// as they are while the function is rewritten elsewhere. No two are equal, and a
// run has no terms of another run but those of visits that it would make itself:
// terms do not mention a cut's variables before it is entered.
func (s *sim) nameStops() {
	s.names = map[int]string{}
	times := map[int]int{}
	for k, stop := range s.p.stop {
		if k == 0 || stop {
			o := s.p.f.Insns[k].Origin
			s.names[k] = nameOfStop(o, times[o])
			times[o]++
		}
	}
}

// learn runs the function from a cut to the next stops and carries what holds at
// their ends on.
func (s *sim) learn(k *cut) error {
	s.e.Align, s.e.OnToken = nil, nil
	s.e.Replacing(false)
	v := s.again(k)
	if v == nil {
		v = &visit{x: s.p, at: k.at, locs: slices.Clone(k.locs), mem: maps.Clone(k.mem), facts: k.facts}
		s.e.Record(&v.log)
		st, _ := s.enter(k)
		s.points = nil
		ends, err := s.paths(s.p, k.at, st)
		s.e.Record(nil)
		if err != nil {
			return err
		}
		v.points, v.ends = s.points, ends
	}
	s.visits[k.at] = v
	s.stats.Paths += len(v.ends)
	for i := range v.ends {
		if x := &v.ends[i]; x.at >= 0 {
			if err := s.carry(x.at, x.at, x.state, x.state, x.state.Path); err != nil {
				return err
			}
		}
	}
	return nil
}

// again is the visit of an earlier function if a visit of k would be the same, for
// this function; else nil.
func (s *sim) again(k *cut) *visit {
	if s.known == nil {
		return nil
	}
	v := s.known.byName[k.prefix]
	if v == nil || !slices.Equal(v.locs, k.locs) || !slices.Equal(v.facts, k.facts) || !maps.Equal(v.mem, k.mem) {
		return nil
	}
	to := sameRegion(v.x, v.at, s.p, k.at)
	s.v.spend(s.ctx, int64(len(to)))
	if to == nil || !s.e.Replay(&v.log) {
		return nil
	}
	out := *v
	out.x, out.at, out.served = s.p, k.at, true
	out.points, out.ends = slices.Clone(v.points), slices.Clone(v.ends)
	for i := range out.points {
		out.points[i].at = to[v.points[i].at]
	}
	for i := range out.ends {
		if at := v.ends[i].at; at >= 0 {
			out.ends[i].at = to[at]
		}
	}
	return &out
}

// sameRegion compares the code of two functions from an instruction each to the
// next stops. It gives the partners of the first one's instructions, the stops
// included; nil if something differs.
func sameRegion(x *side, i int, y *side, j int) map[int]int {
	to := map[int]int{}
	work := [][2]int{{i, j}}
	for first := true; len(work) > 0; first = false {
		at := work[len(work)-1]
		work = work[:len(work)-1]
		i, j := at[0], at[1]
		for ; ; i, j, first = i+1, j+1, false {
			if i >= len(x.f.Insns) || j >= len(y.f.Insns) {
				return nil
			}
			if !first {
				if x.stop[i] != y.stop[j] {
					return nil
				}
				if was, met := to[i]; met {
					if was != j {
						return nil
					}
					break
				}
			}
			to[i] = j
			if !first && x.stop[i] {
				break
			}
			a, b := &x.f.Insns[i], &y.f.Insns[j]
			if !sameInsn(a, b) || (a.Target < 0) != (b.Target < 0) || x.unused(i) != y.unused(j) {
				return nil
			}
			if a.Target >= 0 {
				work = append(work, [2]int{a.Target, b.Target})
			}
			if a.EndsBlock() {
				break
			}
		}
	}
	return to
}
