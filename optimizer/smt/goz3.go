//go:build z3cgo

package smt

// #include <stdlib.h>
// #include <z3.h>
// static void superbpf_params(Z3_context c, Z3_solver s, unsigned rlimit) {
//   Z3_params p = Z3_mk_params(c);
//   Z3_params_inc_ref(c, p);
//   Z3_params_set_uint(c, p, Z3_mk_string_symbol(c, "rlimit"), rlimit);
//   // Z3's handler of SIGINT would replace Go's, which ends the process.
//   Z3_params_set_bool(c, p, Z3_mk_string_symbol(c, "ctrl_c"), false);
//   Z3_solver_set_params(c, s, p);
//   Z3_params_dec_ref(c, p);
// }
import "C"

import (
	"context"
	"fmt"
	"sync"
	"time"
	"unsafe"

	z3 "github.com/mitchellh/go-z3"
)

func init() {
	open["go-z3"] = func(c *Ctx) (backend, error) { return &goZ3{c: c}, nil }
}

// goZ3 runs Z3 in process. go-z3 owns the configuration, the context and its
// error handler; the bit-vector calls that it lacks go to the C API on the
// same context. Z3's own terms live until the context is closed, so it is
// replaced every few thousand queries.
type goZ3 struct {
	c      *Ctx
	zc     *z3.Context
	raw    C.Z3_context
	solver C.Z3_solver
	memo   map[Term]C.Z3_ast
	sorts  [65]C.Z3_sort
	steps  uint32
	checks int
	failed string // set by the error handler
}

func (g *goZ3) Name() string { return "go-z3" }

func (g *goZ3) start(l Limits) {
	cfg := z3.NewConfig()
	cfg.SetParamValue("model", "true")
	g.zc = z3.NewContext(cfg)
	cfg.Close()
	// Without a handler Z3 ends the process.
	g.zc.SetErrorHandler(func(c *z3.Context, e z3.ErrorCode) { g.failed = fmt.Sprintf("Z3 error %v: %s", e, c.Error(e)) })
	g.raw = C.Z3_context(unsafe.Pointer(g.zc.Z3Value()))
	logic := C.CString("QF_BV")
	g.solver = C.Z3_mk_solver_for_logic(g.raw, C.Z3_mk_string_symbol(g.raw, logic))
	C.free(unsafe.Pointer(logic))
	C.Z3_solver_inc_ref(g.raw, g.solver)
	C.superbpf_params(g.raw, g.solver, C.uint(l.Steps))
	g.steps = l.Steps
	g.memo = map[Term]C.Z3_ast{}
	g.sorts = [65]C.Z3_sort{}
	g.checks = 0
}

// Close frees the context.
func (g *goZ3) Close() error {
	if g.zc == nil {
		return nil
	}
	C.Z3_solver_dec_ref(g.raw, g.solver)
	err := g.zc.Close()
	g.zc = nil
	return err
}

func (g *goZ3) Check(ctx context.Context, l Limits, terms ...Term) (Result, Assignment, error) {
	if ctx.Err() != nil {
		return Unknown, nil, nil
	}
	l = l.orDefault()
	if g.zc != nil && (g.checks >= recycle || g.steps != l.Steps) {
		g.Close()
	}
	if g.zc == nil {
		g.start(l)
	}
	g.checks++
	g.failed = ""
	C.Z3_solver_push(g.raw, g.solver)
	defer C.Z3_solver_pop(g.raw, g.solver, 1)
	one := g.constant(1, 1)
	for _, t := range terms {
		C.Z3_solver_assert(g.raw, g.solver, C.Z3_mk_eq(g.raw, g.ast(t), one))
	}
	if g.failed != "" {
		g.checks = recycle
		return Unknown, nil, fmt.Errorf("building the query: %s", g.failed)
	}
	// Z3_interrupt may be called from another thread while a check runs; the
	// lock keeps it from hitting a later one.
	var mu sync.Mutex
	running := true
	interrupt := func() {
		mu.Lock()
		if running {
			C.Z3_interrupt(g.raw)
		}
		mu.Unlock()
	}
	timer := time.AfterFunc(l.Wall, interrupt)
	stop := context.AfterFunc(ctx, interrupt)
	r := C.Z3_solver_check(g.raw, g.solver)
	mu.Lock()
	running = false
	mu.Unlock()
	timer.Stop()
	stop()
	switch {
	case r == C.Z3_L_FALSE:
		return Unsat, nil, nil
	case r == C.Z3_L_TRUE:
		as, err := g.model(terms)
		return Sat, as, err
	}
	// An interrupt or a limit may count as an error in Z3; the context is then
	// spent.
	if g.failed != "" {
		g.checks = recycle
	}
	return Unknown, nil, nil
}

func (g *goZ3) model(terms []Term) (Assignment, error) {
	m := C.Z3_solver_get_model(g.raw, g.solver)
	if m == nil {
		return nil, fmt.Errorf("no model: %s", g.failed)
	}
	C.Z3_model_inc_ref(g.raw, m)
	defer C.Z3_model_dec_ref(g.raw, m)
	as := Assignment{}
	for _, t := range g.c.Leaves(terms...) {
		var v C.Z3_ast
		if !bool(C.Z3_model_eval(g.raw, m, g.ast(t), C.bool(true), &v)) {
			return nil, fmt.Errorf("no value for %s in the model: %s", g.c.String(t), g.failed)
		}
		var u C.uint64_t
		if !bool(C.Z3_get_numeral_uint64(g.raw, v, &u)) {
			return nil, fmt.Errorf("value of %s is not a numeral: %s", g.c.String(t), g.failed)
		}
		as[t] = uint64(u)
	}
	return as, nil
}

func (g *goZ3) sort(w uint8) C.Z3_sort {
	if g.sorts[w] == nil {
		g.sorts[w] = C.Z3_mk_bv_sort(g.raw, C.uint(w))
		C.Z3_inc_ref(g.raw, C.Z3_sort_to_ast(g.raw, g.sorts[w]))
	}
	return g.sorts[w]
}

func (g *goZ3) constant(v uint64, w uint8) C.Z3_ast {
	return C.Z3_mk_unsigned_int64(g.raw, C.uint64_t(v), g.sort(w))
}

// truth makes a one-bit vector of a Z3 boolean.
func (g *goZ3) truth(b C.Z3_ast) C.Z3_ast {
	return C.Z3_mk_ite(g.raw, b, g.constant(1, 1), g.constant(0, 1))
}

func (g *goZ3) ast(t Term) C.Z3_ast {
	if a, ok := g.memo[t]; ok {
		return a
	}
	a := g.build(t)
	// A count of its own keeps the term over the end of the query's scope.
	if a != nil {
		C.Z3_inc_ref(g.raw, a)
	}
	g.memo[t] = a
	return a
}

func (g *goZ3) build(t Term) C.Z3_ast {
	n := g.c.Node(t)
	switch n.Op {
	case OpConst:
		return g.constant(n.K, n.Width)
	case OpVar, OpUF:
		return C.Z3_mk_const(g.raw, C.Z3_mk_int_symbol(g.raw, C.int(t)), g.sort(n.Width))
	}
	x := make([]C.Z3_ast, len(n.Args))
	for i, a := range n.Args {
		x[i] = g.ast(a)
	}
	z := g.raw
	switch n.Op {
	case OpSum:
		s := g.constant(n.K, n.Width)
		for i := range x {
			y := x[i]
			if n.Coef[i] != 1 {
				y = C.Z3_mk_bvmul(z, g.constant(n.Coef[i], n.Width), y)
			}
			s = C.Z3_mk_bvadd(z, s, y)
		}
		return s
	case OpMul:
		return C.Z3_mk_bvmul(z, x[0], x[1])
	case OpUDiv:
		return C.Z3_mk_bvudiv(z, x[0], x[1])
	case OpURem:
		return C.Z3_mk_bvurem(z, x[0], x[1])
	case OpSDiv:
		return C.Z3_mk_bvsdiv(z, x[0], x[1])
	case OpSRem:
		return C.Z3_mk_bvsrem(z, x[0], x[1])
	case OpAnd, OpOr, OpXor:
		s := x[0]
		for _, y := range x[1:] {
			switch n.Op {
			case OpAnd:
				s = C.Z3_mk_bvand(z, s, y)
			case OpOr:
				s = C.Z3_mk_bvor(z, s, y)
			default:
				s = C.Z3_mk_bvxor(z, s, y)
			}
		}
		return s
	case OpNot:
		return C.Z3_mk_bvnot(z, x[0])
	case OpShl:
		return C.Z3_mk_bvshl(z, x[0], x[1])
	case OpLShr:
		return C.Z3_mk_bvlshr(z, x[0], x[1])
	case OpAShr:
		return C.Z3_mk_bvashr(z, x[0], x[1])
	case OpConcat:
		return C.Z3_mk_concat(z, x[0], x[1])
	case OpExtract:
		return C.Z3_mk_extract(z, C.uint(n.K)+C.uint(n.Width)-1, C.uint(n.K), x[0])
	case OpSExt:
		return C.Z3_mk_sign_ext(z, C.uint(n.Width-g.c.Width(n.Args[0])), x[0])
	case OpEq:
		return g.truth(C.Z3_mk_eq(z, x[0], x[1]))
	case OpUlt:
		return g.truth(C.Z3_mk_bvult(z, x[0], x[1]))
	case OpSlt:
		return g.truth(C.Z3_mk_bvslt(z, x[0], x[1]))
	case OpIte:
		return C.Z3_mk_ite(z, C.Z3_mk_eq(z, x[0], g.constant(1, 1)), x[1], x[2])
	}
	panic(fmt.Sprintf("smt: no Z3 form of operation %d", n.Op))
}
