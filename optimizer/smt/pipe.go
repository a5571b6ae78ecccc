package smt

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"time"
)

// pipe talks SMT-LIB 2 to a solver process. A query that overruns its wall
// clock kills the process; the next query starts a new one.
type pipe struct {
	c       *Ctx
	bin     string
	args    []string
	options func(Limits) string
	cmd     *exec.Cmd
	in      io.WriteCloser
	out     *bufio.Reader
	limits  Limits
	checks  int
}

// recycle is the number of queries after which a process is replaced: its
// memory grows with every declared name.
const recycle = 5000

func z3Options(l Limits) string {
	return fmt.Sprintf("(set-option :rlimit %d)\n", l.Steps)
}

// cvc5 takes far fewer of its steps in the same time than Z3 of its own.
func cvc5Options(l Limits) string {
	return fmt.Sprintf("(set-option :reproducible-resource-limit %d)\n", max(l.Steps/100, 1))
}

func newPipe(c *Ctx, bin string, args []string, options func(Limits) string) (backend, error) {
	path, err := exec.LookPath(bin)
	if err != nil {
		return nil, fmt.Errorf("the solver %s is not installed: install the package %s", bin, bin)
	}
	return &pipe{c: c, bin: path, args: args, options: options}, nil
}

func (p *pipe) Name() string {
	if strings.HasSuffix(p.bin, "cvc5") {
		return "cvc5"
	}
	return "z3"
}

func (p *pipe) start(l Limits) error {
	p.cmd = exec.Command(p.bin, p.args...)
	var err error
	if p.in, err = p.cmd.StdinPipe(); err != nil {
		return err
	}
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		return err
	}
	p.out = bufio.NewReader(out)
	if err := p.cmd.Start(); err != nil {
		p.cmd = nil
		return fmt.Errorf("starting %s: %w", p.bin, err)
	}
	p.checks = 0
	p.limits = l
	_, err = io.WriteString(p.in, p.options(l)+"(set-logic QF_BV)\n")
	return err
}

func (p *pipe) stop() {
	if p.cmd == nil {
		return
	}
	p.in.Close()
	p.cmd.Process.Kill()
	p.cmd.Wait()
	p.cmd = nil
}

// Close ends the process.
func (p *pipe) Close() error { p.stop(); return nil }

func (p *pipe) Check(ctx context.Context, l Limits, terms ...Term) (Result, Assignment, error) {
	if ctx.Err() != nil {
		return Unknown, nil, nil
	}
	l = l.orDefault()
	if p.cmd != nil && (p.checks >= recycle || p.limits.Steps != l.Steps) {
		p.stop()
	}
	if p.cmd == nil {
		if err := p.start(l); err != nil {
			return Unknown, nil, err
		}
	}
	p.checks++
	var once sync.Once
	proc := p.cmd.Process
	kill := func() { once.Do(func() { proc.Kill() }) }
	timer := time.AfterFunc(l.Wall, kill)
	defer timer.Stop()
	stopWatch := context.AfterFunc(ctx, kill)
	defer stopWatch()

	query, leaves := smtlib(p.c, terms)
	res, as, err := p.ask(query, leaves)
	if err != nil {
		killed := errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || strings.Contains(err.Error(), "pipe") || strings.Contains(err.Error(), "closed")
		p.stop()
		if killed {
			return Unknown, nil, nil // out of time
		}
		return Unknown, nil, err
	}
	return res, as, nil
}

func (p *pipe) ask(query string, leaves []Term) (Result, Assignment, error) {
	if _, err := io.WriteString(p.in, "(push 1)\n"+query+"(check-sat)\n"); err != nil {
		return Unknown, nil, err
	}
	line, err := p.line()
	if err != nil {
		return Unknown, nil, err
	}
	switch line {
	case "unsat":
		_, err = io.WriteString(p.in, "(pop 1)\n")
		return Unsat, nil, err
	case "unknown", "timeout":
		_, err = io.WriteString(p.in, "(pop 1)\n")
		return Unknown, nil, err
	case "sat":
	default:
		return Unknown, nil, fmt.Errorf("%s answered %q", p.bin, line)
	}
	as := Assignment{}
	if len(leaves) > 0 {
		names := make([]string, len(leaves))
		for i := range leaves {
			names[i] = leafName(leaves[i])
		}
		if _, err := io.WriteString(p.in, "(get-value ("+strings.Join(names, " ")+"))\n"); err != nil {
			return Unknown, nil, err
		}
		if err := p.values(leaves, as); err != nil {
			return Unknown, nil, err
		}
	}
	_, err = io.WriteString(p.in, "(pop 1)\n")
	return Sat, as, err
}

func (p *pipe) line() (string, error) {
	for {
		s, err := p.out.ReadString('\n')
		if err != nil {
			return "", err
		}
		if s = strings.TrimSpace(s); s != "" {
			return s, nil
		}
	}
}

// values reads ((t1 #x..) (t2 #b..)).
func (p *pipe) values(leaves []Term, as Assignment) error {
	depth := 0
	var b strings.Builder
	for {
		r, err := p.out.ReadByte()
		if err != nil {
			return err
		}
		b.WriteByte(r)
		if r == '(' {
			depth++
		} else if r == ')' {
			if depth--; depth == 0 {
				break
			}
		}
	}
	f := strings.FieldsFunc(b.String(), func(r rune) bool { return r == '(' || r == ')' || r == ' ' || r == '\n' || r == '\r' })
	if len(f) != 2*len(leaves) {
		return fmt.Errorf("%s: unexpected model %.200q", p.bin, b.String())
	}
	for i, t := range leaves {
		var v uint64
		var err error
		switch s := f[2*i+1]; {
		case strings.HasPrefix(s, "#x"):
			v, err = strconv.ParseUint(s[2:], 16, 64)
		case strings.HasPrefix(s, "#b"):
			v, err = strconv.ParseUint(s[2:], 2, 64)
		default:
			err = fmt.Errorf("value %q", s)
		}
		if err != nil {
			return fmt.Errorf("%s: unexpected model: %w", p.bin, err)
		}
		as[t] = v
	}
	return nil
}

func leafName(t Term) string { return "t" + strconv.Itoa(int(t)) }

// smtlib declares the leaves and asserts the terms, each shared node once.
func smtlib(c *Ctx, terms []Term) (string, []Term) {
	var b strings.Builder
	leaves := c.Leaves(terms...)
	for _, t := range leaves {
		fmt.Fprintf(&b, "(declare-const %s (_ BitVec %d))\n", leafName(t), c.Width(t))
	}
	done := map[Term]bool{}
	for _, t := range leaves {
		done[t] = true
	}
	var define func(t Term)
	define = func(t Term) {
		n := c.Node(t)
		if n.Op == OpConst || done[t] {
			return
		}
		done[t] = true
		for _, a := range n.Args {
			define(a)
		}
		fmt.Fprintf(&b, "(define-fun %s () (_ BitVec %d) %s)\n", leafName(t), n.Width, smtNode(c, n))
	}
	for _, t := range terms {
		define(t)
	}
	for _, t := range terms {
		fmt.Fprintf(&b, "(assert (= %s #b1))\n", smtRef(c, t))
	}
	return b.String(), leaves
}

func smtRef(c *Ctx, t Term) string {
	if n := c.Node(t); n.Op == OpConst {
		return smtConst(n.K, n.Width)
	}
	return leafName(t)
}

func smtConst(v uint64, w uint8) string { return fmt.Sprintf("(_ bv%d %d)", v, w) }

func smtNode(c *Ctx, n *Node) string {
	arg := func(i int) string { return smtRef(c, n.Args[i]) }
	switch n.Op {
	case OpSum:
		s := smtConst(n.K, n.Width)
		for i := range n.Args {
			x := arg(i)
			if n.Coef[i] != 1 {
				x = "(bvmul " + smtConst(n.Coef[i], n.Width) + " " + x + ")"
			}
			s = "(bvadd " + s + " " + x + ")"
		}
		return s
	case OpExtract:
		return fmt.Sprintf("((_ extract %d %d) %s)", n.K+uint64(n.Width)-1, n.K, arg(0))
	case OpSExt:
		return fmt.Sprintf("((_ sign_extend %d) %s)", n.Width-c.Width(n.Args[0]), arg(0))
	case OpEq, OpUlt, OpSlt:
		return fmt.Sprintf("(ite (%s %s %s) #b1 #b0)", opNames[n.Op], arg(0), arg(1))
	case OpIte:
		return fmt.Sprintf("(ite (= %s #b1) %s %s)", arg(0), arg(1), arg(2))
	case OpNot:
		return "(bvnot " + arg(0) + ")"
	}
	s := arg(0)
	for i := 1; i < len(n.Args); i++ {
		s = "(" + opNames[n.Op] + " " + s + " " + arg(i) + ")"
	}
	return s
}
