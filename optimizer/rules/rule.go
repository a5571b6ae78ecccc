package rules

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"slices"
	"strconv"
	"strings"

	"github.com/superbpf/superbpf/optimizer/isa"
	"github.com/superbpf/superbpf/optimizer/slice"
)

// Rule is one rewrite.
type Rule struct {
	// Proved in general form; otherwise only at the sites where it is used.
	Proved bool
	// From and To are terms over the same inputs. A node's Imm is an index of
	// Imms.
	From, To slice.Term
	imms     []expr
	// Zeros and Ones are the bits that must be known of each input.
	Zeros, Ones []uint64
	// Bits of the result that matter at most.
	Bits  uint64
	conds []expr
	text  string
}

// Text is the rule without the word before it; it identifies the rule.
func (r *Rule) Text() string { return r.text }

// ID is a short name made of the text.
func (r *Rule) ID() string {
	h := sha256.Sum256([]byte(r.text))
	return hex.EncodeToString(h[:4])
}

func (r *Rule) String() string {
	if r.Proved {
		return "proved " + r.text
	}
	return "site " + r.text
}

// Parse reads a rule's line.
func Parse(line string) (*Rule, error) {
	r := &Rule{Bits: ^uint64(0)}
	word, rest, _ := strings.Cut(strings.TrimSpace(line), " ")
	switch word {
	case "proved":
		r.Proved = true
	case "site":
	default:
		return nil, fmt.Errorf("%q: a rule begins with \"proved\" or \"site\"", line)
	}
	r.text = strings.TrimSpace(rest)
	lhs, rhs, ok := strings.Cut(r.text, "=>")
	if !ok {
		return nil, fmt.Errorf("%q: no \"=>\"", line)
	}
	rhs, conds, _ := strings.Cut(rhs, " if ")
	if err := r.read(lhs, rhs, conds); err != nil {
		return nil, fmt.Errorf("%q: %w", line, err)
	}
	return r, nil
}

func (r *Rule) read(lhs, rhs, conds string) error {
	var err error
	if r.From, err = r.term(lhs); err != nil {
		return err
	}
	if r.To, err = r.term(rhs); err != nil {
		return err
	}
	if r.To.Inputs > r.From.Inputs {
		return errors.New("the right side has an input that the left side has not")
	}
	r.To.Inputs = r.From.Inputs
	if r.From.IsBranch() != r.To.IsBranch() {
		return errors.New("a comparison must stay one")
	}
	if err := sameStore(&r.From, &r.To); err != nil {
		return err
	}
	r.Zeros, r.Ones = make([]uint64, r.From.Inputs), make([]uint64, r.From.Inputs)
	if strings.TrimSpace(conds) == "" {
		return nil
	}
	e, err := parser.ParseExpr("f(" + conds + ")")
	if err != nil {
		return err
	}
	call, ok := e.(*ast.CallExpr)
	if !ok {
		return errors.New("conditions are separated by commas")
	}
	for _, c := range call.Args {
		if err := r.condition(c, "f("+conds+")"); err != nil {
			return err
		}
	}
	return nil
}

// sameStore: stores stand outside of everything else, on both sides.
func sameStore(from, to *slice.Term) error {
	for _, t := range []*slice.Term{from, to} {
		stores := t.Stores()
		for i := range t.Nodes {
			row := isa.RowOf(t.Nodes[i].Op)
			if row.Kind == isa.KindStore && !slices.Contains(stores, slice.Ref(i)) || t.Nodes[i].Op == slice.Then && stores == nil {
				return errors.New("a store stands outside of everything else")
			}
		}
	}
	if from.IsStore() != to.IsStore() {
		return errors.New("a store must stay one")
	}
	return nil
}

func (r *Rule) condition(c ast.Expr, src string) error {
	if call, ok := c.(*ast.CallExpr); ok {
		name, _ := call.Fun.(*ast.Ident)
		if name == nil {
			return errors.New("a condition's name is missing")
		}
		switch name.Name {
		case "bits":
			if len(call.Args) != 1 {
				return errors.New("bits takes a mask")
			}
			m, err := slice.Number(call.Args[0])
			r.Bits = uint64(m)
			return err
		case "zext", "is":
			if len(call.Args) != 2 {
				return fmt.Errorf("%s takes an input and a number", name.Name)
			}
			in, ok := call.Args[0].(*ast.Ident)
			if !ok || len(in.Name) != 1 || int(in.Name[0]-'a') >= r.From.Inputs {
				return fmt.Errorf("%s: no such input", name.Name)
			}
			v, err := slice.Number(call.Args[1])
			if err != nil {
				return err
			}
			i := in.Name[0] - 'a'
			if name.Name == "zext" {
				if v < 1 || v > 63 {
					return errors.New("zext: 1 to 63 bits")
				}
				r.Zeros[i] = ^lowBits(int(v))
			} else {
				r.Zeros[i], r.Ones[i] = ^uint64(v), uint64(v)
			}
			return nil
		}
	}
	r.conds = append(r.conds, expr{src[c.Pos()-1 : c.End()-1], c})
	return nil
}

// term reads one side; immediates become indices of r.imms.
func (r *Rule) term(s string) (slice.Term, error) {
	s = strings.TrimSpace(s)
	e, err := parser.ParseExpr(s)
	if err != nil {
		return slice.Term{}, err
	}
	return slice.ParseExpr(e, func(x ast.Expr) (int64, error) {
		text := s[x.Pos()-1 : x.End()-1]
		for i, have := range r.imms {
			if have.text == text {
				return int64(i), nil
			}
		}
		zero := int64(0)
		if _, err := eval(x, number[int64](values{&zero, &zero, &zero, &zero, &zero, &zero, &zero, &zero})); err != nil {
			return 0, fmt.Errorf("%q: %w", text, err)
		}
		r.imms = append(r.imms, expr{text, x})
		return int64(len(r.imms) - 1), nil
	})
}

// variable is the index of a plain variable, or -1.
func (e expr) variable() int {
	if id, ok := e.ast.(*ast.Ident); ok {
		if i, err := strconv.Atoi(strings.TrimPrefix(id.Name, "c")); err == nil {
			return i
		}
	}
	return -1
}

// maxVars bounds the immediates' variables of a rule.
const maxVars = 8

// Instance gives the right side for a left side t whose inputs have the facts
// and of whose result the bits of mask matter; ok is false where the rule does
// not hold.
func (r *Rule) Instance(t *slice.Term, facts []slice.Fact, mask uint64) (slice.Term, bool) {
	if len(t.Nodes) != len(r.From.Nodes) || mask&^r.Bits != 0 {
		return slice.Term{}, false
	}
	for i, f := range facts {
		if r.Zeros[i]&^f.Zeros != 0 || r.Ones[i]&^f.Ones != 0 {
			return slice.Term{}, false
		}
	}
	v := make(values, maxVars)
	later := false
	for pass := 0; pass == 0 || pass == 1 && later; pass++ {
		for i := range t.Nodes {
			n, p := &t.Nodes[i], &r.From.Nodes[i]
			if n.Op != p.Op || n.A != p.A || n.B != p.B {
				return slice.Term{}, false
			}
			if !p.HasImm() {
				continue
			}
			e := r.imms[p.Imm]
			if k := e.variable(); k >= 0 && k < len(v) && v[k] == nil {
				v[k] = &n.Imm
				continue
			}
			want, err := eval(e.ast, number[int64](v))
			if err != nil {
				later = true
				continue
			}
			if want != n.Imm {
				return slice.Term{}, false
			}
		}
	}
	for _, c := range r.conds {
		if x, err := eval(c.ast, number[int64](v)); err != nil || x == 0 {
			return slice.Term{}, false
		}
	}
	to, ok := r.right(v)
	return to, ok && loadsWithin(&to, t)
}

// needsFacts: the rule holds for some values of its inputs only.
func (r *Rule) needsFacts() bool {
	some := func(bits uint64) bool { return bits != 0 }
	return slices.ContainsFunc(r.Zeros, some) || slices.ContainsFunc(r.Ones, some)
}

// loadsWithin: to loads only bytes that from loads. Others might not be there.
func loadsWithin(to, from *slice.Term) bool {
	mine, ok := to.Loads()
	if len(mine) == 0 && ok {
		return true
	}
	theirs, _ := from.Loads()
	for b := range mine {
		ok = ok && theirs[b]
	}
	return ok
}

// right fills in the right side's immediates.
func (r *Rule) right(v values) (slice.Term, bool) {
	out := slice.Term{Inputs: r.To.Inputs, Root: r.To.Root}
	for _, n := range r.To.Nodes {
		if n.HasImm() {
			x, err := eval(r.imms[n.Imm].ast, number[int64](v))
			if err != nil || !encodable(&n, x) {
				return slice.Term{}, false
			}
			n.Imm = x
		}
		out.Nodes = append(out.Nodes, n)
	}
	return out, true
}
