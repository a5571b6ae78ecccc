package rules

import (
	"context"
	"fmt"
	"math/bits"
	"math/rand/v2"
	"slices"
	"strings"

	"github.com/superbpf/superbpf/optimizer/search"
	"github.com/superbpf/superbpf/optimizer/slice"
	"github.com/superbpf/superbpf/optimizer/smt"
)

// draft is a rule in the making: a finding's terms, with texts for their
// immediates.
type draft struct {
	p        *search.Problem
	to       *slice.Term
	from, on []string // immediates of each node of either side
	facts    []slice.Fact
	mask     uint64
	conds    []string
}

// rule writes the draft and reads it back.
func (d *draft) rule(word string) (*Rule, error) {
	side := func(t *slice.Term, imms []string) string {
		return t.Text(func(i int) string { return imms[i] })
	}
	s := word + " " + side(&d.p.Term, d.from) + " => " + side(d.to, d.on)
	conds := slices.Clone(d.conds)
	for i, f := range d.facts {
		in := string(rune('a' + i))
		switch n := bits.Len64(^f.Zeros); {
		case f.Zeros|f.Ones == ^uint64(0):
			conds = append(conds, fmt.Sprintf("is(%s, %d)", in, int64(f.Ones)))
		case n < 64:
			conds = append(conds, fmt.Sprintf("zext(%s, %d)", in, max(n, 1)))
		}
	}
	if d.mask != ^uint64(0) {
		conds = append(conds, fmt.Sprintf("bits(%#x)", d.mask))
	}
	if len(conds) > 0 {
		s += " if " + strings.Join(conds, ", ")
	}
	return Parse(s)
}

// maxProofs bounds the drafts of one finding that are put before the solver.
const maxProofs = 4

// Generalise makes a rule of the finding that `to` may replace p's term: facts
// that are not needed go, the bits that matter become as many as possible, and
// immediates become variables related as the finding's are. Of the drafts that
// pass the tests, the most general one that the solver proves is taken; failing
// that, one that it could not decide, marked as such.
func Generalise(ctx context.Context, p *search.Problem, to slice.Term, solver string) (*Rule, error) {
	weak := *p
	weak.Facts = slices.Clone(p.Facts)
	for i := range weak.Facts {
		was := weak.Facts[i]
		if weak.Facts[i] = (slice.Fact{Pointer: was.Pointer}); !weak.Agrees(&to) {
			weak.Facts[i] = was
		}
	}
	for _, m := range []uint64{^uint64(0), 0xffffffff} {
		if q := weak; m&p.Mask == p.Mask {
			if q.Mask = m; q.Agrees(&to) {
				weak.Mask = m
				break
			}
		}
	}
	rnd := rand.New(rand.NewPCG(1, uint64(len(p.Term.Nodes))))
	var undecided *Rule
	proofs := 0
	for _, base := range []*search.Problem{&weak, p} {
		var result *Rule
		var failed error
		drafts(&draft{p: p, to: &to, facts: base.Facts, mask: base.Mask}, func(d *draft) bool {
			r, err := d.rule("proved")
			if err != nil {
				failed = err
				return false
			}
			if !r.holds(rnd) {
				return true
			}
			if proofs++; proofs > maxProofs && len(r.variables()) > 0 {
				return true // only the finding itself is left to try
			}
			verdict, err := r.Prove(ctx, solver)
			switch {
			case err != nil && ctx.Err() != nil:
				failed = err
				return false
			case verdict == smt.Unsat:
				result = r
				return false
			case verdict == smt.Unknown && undecided == nil:
				r.Proved = false
				undecided = r
			}
			return ctx.Err() == nil
		})
		if failed != nil || result != nil {
			return result, failed
		}
	}
	return undecided, ctx.Err()
}

// drafts calls try with drafts made of base, the most general first, until it
// returns false.
func drafts(base *draft, try func(*draft) bool) {
	joint := base.p.Term.Joint()
	imms := constants(&base.p.Term)
	if len(imms) > 4 {
		imms = imms[:4]
	}
	for _, literal := range subsets(len(imms)) {
		var vars []int // indices of imms
		for i := range imms {
			if literal>>i&1 == 0 {
				vars = append(vars, i)
			}
		}
		d := *base
		d.from = make([]string, len(d.p.Term.Nodes))
		for i := range d.p.Term.Nodes {
			n := &d.p.Term.Nodes[i]
			d.from[i] = fmt.Sprint(n.Imm)
			if first, ok := joint[i]; ok { // as far from the first store as it is here
				if k := slices.Index(vars, slices.Index(imms, constant{first, true})); k >= 0 {
					d.from[i] = fmt.Sprintf("c%d+%d", k, n.Imm-first)
				}
				continue
			}
			if k := slices.Index(imms, constant{n.Imm, n.IsMemory()}); k >= 0 && slices.Contains(vars, k) && n.HasImm() {
				d.from[i] = fmt.Sprintf("c%d", slices.Index(vars, k))
			}
		}
		value := make([]int64, len(vars))
		for i, k := range vars {
			value[i] = imms[k].value
		}
		var choices [][]string
		for i := range d.to.Nodes {
			if d.to.Nodes[i].HasImm() {
				list := spellings(d.to.Nodes[i].Imm, value)
				if d.to.Nodes[i].IsMemory() { // an offset is a sum, or looks like something else by chance
					list = slices.DeleteFunc(list, func(s string) bool { return strings.ContainsAny(s, "<>&|(^") })
				}
				choices = append(choices, list)
			}
		}
		for _, conds := range relations(value) {
			d.conds = conds
			more := product(choices, 48, func(pick []string) bool {
				d.on = make([]string, len(d.to.Nodes))
				k := 0
				for i := range d.to.Nodes {
					if d.to.Nodes[i].HasImm() {
						d.on[i] = pick[k]
						k++
					}
				}
				x := d
				return try(&x)
			})
			if !more {
				return
			}
		}
	}
}

// constant is a number of a term that may become a variable: an immediate and an
// offset that are equal are so by chance.
type constant struct {
	value  int64
	offset bool
}

func constants(t *slice.Term) []constant {
	var out []constant
	for _, v := range t.Immediates() {
		out = append(out, constant{v, false})
	}
	joint, seen := t.Joint(), map[int64]bool{}
	for i := range t.Nodes {
		if _, ok := joint[i]; t.Nodes[i].IsMemory() && !ok {
			seen[t.Nodes[i].Imm] = true
		}
	}
	for _, v := range t.Offsets() {
		if seen[v] {
			out = append(out, constant{v, true})
		}
	}
	return out
}

// subsets lists the subsets of n elements as bit sets, small ones first.
func subsets(n int) []int {
	var out []int
	for i := range 1 << n {
		out = append(out, i)
	}
	slices.SortStableFunc(out, func(a, b int) int { return bits.OnesCount(uint(a)) - bits.OnesCount(uint(b)) })
	return out
}

// product calls do with each choice of one element per list, at most limit
// times; it returns false when do did.
func product(lists [][]string, limit int, do func([]string) bool) bool {
	pick := make([]string, len(lists))
	more := true
	var rec func(i int)
	rec = func(i int) {
		if !more || limit <= 0 {
			return
		}
		if i == len(lists) {
			limit--
			more = do(pick)
			return
		}
		for _, s := range lists[i] {
			pick[i] = s
			rec(i + 1)
		}
	}
	rec(0)
	return more
}

// relations lists sets of conditions under which variables have the values
// that they have, the weakest first.
func relations(v []int64) [][]string {
	out := [][]string{nil}
	var single []string
	for i, x := range v {
		c := fmt.Sprintf("c%d", i)
		for j, y := range v {
			if i == j {
				continue
			}
			for _, s := range binarySpellings(fmt.Sprintf("c%d", j), y) {
				if s.value == x {
					single = append(single, c+" == "+s.text)
				}
			}
			if x < y {
				single = append(single, fmt.Sprintf("%s < c%d", c, j))
			}
		}
		if x >= 0 {
			single = append(single, c+" >= 0")
		}
		if x > 0 {
			single = append(single, c+" > 0")
		}
		for _, k := range []int64{32, 48, 56} {
			if x >= k && x < 64 {
				single = append(single, fmt.Sprintf("%s >= %d", c, k))
			}
			if x >= 0 && x < k {
				single = append(single, fmt.Sprintf("%s < %d", c, k))
			}
			if x == k {
				single = append(single, fmt.Sprintf("%s <= %d", c, k))
			}
		}
		if x > 0 && x&(x+1) == 0 {
			single = append(single, "mask("+c+")")
		}
		if x > 0 && x&(x-1) == 0 {
			single = append(single, "pow2("+c+")")
		}
	}
	for _, s := range single {
		out = append(out, []string{s})
	}
	for i, s := range single {
		for _, t := range single[i+1:] {
			if len(out) < 120 {
				out = append(out, []string{s, t})
			}
		}
	}
	return out
}

type spelling struct {
	text  string
	value int64
}

// binarySpellings are expressions of one number that immediates are often
// related by.
func binarySpellings(c string, y int64) []spelling {
	out := []spelling{{"-" + c, -y}, {"^" + c, ^y}, {c + "-1", y - 1}, {c + "+1", y + 1}}
	for d := int64(2); d < 8; d++ { // bytes of one word
		out = append(out, spelling{fmt.Sprintf("%s+%d", c, d), y + d}, spelling{fmt.Sprintf("%s-%d", c, d), y - d})
	}
	if y >= 0 && y < 64 {
		out = append(out, spelling{"64-" + c, 64 - y}, spelling{"32-" + c, 32 - y}, spelling{"(1<<" + c + ")-1", 1<<y - 1}, spelling{"1<<" + c, 1 << y},
			spelling{"-1<<" + c, -1 << y}, spelling{"(-1<<" + c + ")&0xffffffff", -1 << y & 0xffffffff})
	}
	if y > 0 && y < 64 {
		out = append(out, spelling{"(1<<(64-" + c + "))-1", 1<<(64-y) - 1})
	}
	if y > 0 && y < 32 {
		out = append(out, spelling{"(1<<(32-" + c + "))-1", 1<<(32-y) - 1}, spelling{"low32(-1<<" + c + ")", int64(int32(-1 << y))})
	}
	return append(out, spelling{"low32(" + c + ")", int64(int32(y))})
}

// spellings are expressions of the variables' values v that give x, and x.
func spellings(x int64, v []int64) []string {
	var out []string
	name := func(i int) string { return fmt.Sprintf("c%d", i) }
	for i, y := range v {
		if x == y {
			out = append(out, name(i))
		}
	}
	for i, y := range v {
		for _, s := range binarySpellings(name(i), y) {
			if s.value == x && !strings.HasPrefix(s.text, "low32(c") {
				out = append(out, s.text)
			}
		}
		if y != int64(int32(y)) {
			for _, s := range []spelling{{"low32(" + name(i) + ")", int64(int32(y))}, {name(i) + ">>32", y >> 32}} {
				if s.value == x {
					out = append(out, s.text)
				}
			}
		}
	}
	for i, y := range v {
		for j, z := range v {
			if i == j {
				continue
			}
			a, b := name(i), name(j)
			list := []spelling{{a + "-" + b, y - z}}
			// What two stores of constants write, and each half of a constant.
			list = append(list, spelling{a + "&255|" + b + "<<8&65535", y&255 | z<<8&65535},
				spelling{"low32(" + a + "&65535|" + b + "<<16)", int64(int32(y&65535 | z<<16))})
			if i < j {
				list = append(list, spelling{a + "+" + b, y + z}, spelling{a + "&" + b, y & z}, spelling{a + "|" + b, y | z}, spelling{a + "^" + b, y ^ z})
			}
			if z >= 0 && z < 64 {
				list = append(list, spelling{a + "<<" + b, y << z}, spelling{a + ">>" + b, y >> z}, spelling{"low32(" + a + "<<" + b + ")", int64(int32(y << z))})
			}
			if y >= 0 && y < 64 && z >= 0 && z < 64 {
				list = append(list, spelling{"((1<<" + a + ")-1)<<" + b, (1<<y - 1) << z})
			}
			for _, s := range list {
				if s.value == x {
					out = append(out, s.text)
				}
			}
		}
	}
	return append(out, fmt.Sprint(x))
}
