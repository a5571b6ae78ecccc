package slice

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"strconv"

	"github.com/superbpf/superbpf/optimizer/isa"
)

// Parse reads the text that String writes. Nothing is brought into another
// form, so that a term read is the term written.
func Parse(text string) (Term, error) {
	e, err := parser.ParseExpr(text)
	if err != nil {
		return Term{}, fmt.Errorf("%q: %w", text, err)
	}
	return ParseExpr(e, Number)
}

// Number is the value of a literal number.
func Number(e ast.Expr) (int64, error) {
	switch x := e.(type) {
	case *ast.BasicLit:
		if x.Kind == token.INT {
			if v, err := strconv.ParseInt(x.Value, 0, 64); err == nil {
				return v, nil
			}
			v, err := strconv.ParseUint(x.Value, 0, 64)
			return int64(v), err
		}
	case *ast.UnaryExpr:
		if x.Op == token.SUB {
			v, err := Number(x.X)
			return -v, err
		}
	}
	return 0, fmt.Errorf("a number is expected")
}

// ParseExpr is Parse of a syntax tree; imm gives the values of immediates.
func ParseExpr(e ast.Expr, imm func(ast.Expr) (int64, error)) (Term, error) {
	p := &termParser{imm: imm, known: map[Node]Ref{}}
	root, err := p.value(e)
	p.t.Root = root
	return p.t, err
}

type termParser struct {
	t     Term
	imm   func(ast.Expr) (int64, error)
	known map[Node]Ref
}

func (p *termParser) intern(n Node) Ref {
	r, ok := p.known[n]
	if !ok {
		r = Ref(len(p.t.Nodes))
		p.t.Nodes = append(p.t.Nodes, n)
		p.known[n] = r
	}
	return r
}

func (p *termParser) value(e ast.Expr) (Ref, error) {
	switch x := e.(type) {
	case *ast.Ident:
		if len(x.Name) == 1 && x.Name[0] >= 'a' && x.Name[0] < 'a'+26 {
			i := int(x.Name[0] - 'a')
			p.t.Inputs = max(p.t.Inputs, i+1)
			return Input(i), nil
		}
	case *ast.CallExpr:
		name, ok := x.Fun.(*ast.Ident)
		if !ok {
			break
		}
		if name.Name == thenName && len(x.Args) == 2 {
			a, err := p.value(x.Args[0])
			if err != nil {
				return 0, err
			}
			b, err := p.value(x.Args[1])
			return p.intern(Node{Then, a, b, 0}), err
		}
		op := isa.ByName(name.Name)
		row := isa.RowOf(op)
		if op == 0 || row.Kind != isa.KindALU && row.Kind != isa.KindCondJump && !isMemory(row) {
			if v, err := p.imm(e); err == nil { // a function of immediates
				return p.intern(Node{isa.LoadImm, None, None, v}), nil
			}
			return 0, fmt.Errorf("no operation is called %q", name.Name)
		}
		n := Node{Op: op, A: None, B: None}
		readsA, readsB := Reads(row)
		args := x.Args
		next := func(has bool, to *Ref) error {
			if !has {
				return nil
			}
			if len(args) == 0 {
				return fmt.Errorf("%s: too few operands", name.Name)
			}
			r, err := p.value(args[0])
			*to, args = r, args[1:]
			return err
		}
		if err := next(readsA, &n.A); err != nil {
			return 0, err
		}
		if err := next(readsB, &n.B); err != nil {
			return 0, err
		}
		if n.HasImm() {
			if len(args) == 0 {
				return 0, fmt.Errorf("%s: an immediate is missing", name.Name)
			}
			v, err := p.imm(args[0])
			if err != nil {
				return 0, fmt.Errorf("%s: %w", name.Name, err)
			}
			n.Imm, args = v, args[1:]
		}
		if len(args) > 0 {
			return 0, fmt.Errorf("%s: too many operands", name.Name)
		}
		return p.intern(n), nil
	}
	v, err := p.imm(e)
	return p.intern(Node{isa.LoadImm, None, None, v}), err
}
