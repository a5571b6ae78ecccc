package pipeline

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"

	"github.com/superbpf/superbpf/optimizer/isa"
	"github.com/superbpf/superbpf/optimizer/prog"
)

// Certificate records why an output object may replace its input: for each
// changed function the chain of bodies from input to output. A checker proves
// each link again; nothing in the certificate itself is believed.
type Certificate struct {
	Format int    // 2
	Input  string // SHA-256 of the input object, hex
	Output string
	Solver string
	// AllowAtomics: the user let plain read-modify-writes become atomic
	// operations. Whoever checks the certificate has to agree to that.
	AllowAtomics bool `json:",omitempty"`
	// Kernels lists, by program, the kernels that accepted the output.
	Kernels   map[string][]string
	Functions []FunctionCertificate
}

// FunctionCertificate is the chain of one function.
type FunctionCertificate struct {
	Index int // position among the object's functions
	Name  string
	// Slots is the size of the input function, for reports: nothing rests on it.
	Slots int
	Links []Link
}

// Link is one proved replacement.
type Link struct {
	Transform   string
	Assumptions []string `json:",omitempty"`
	Body        []encodedInsn
}

// encodedInsn is an instruction in a certificate. Ref is a position in the list of
// symbolic operands of the input function and what it calls, plus one; zero for none.
type encodedInsn struct {
	Op     string
	Dst    isa.Reg `json:",omitempty"`
	Src    isa.Reg `json:",omitempty"`
	Off    int16   `json:",omitempty"`
	Imm    int64   `json:",omitempty"`
	Target *int    `json:",omitempty"`
	Ref    int     `json:",omitempty"`
	Origin int
}

// refs lists the symbolic operands of function f of a list, each once, in order, then
// those of the functions that it calls, whose bodies may have taken the place of calls.
func refs(f *prog.Func, funcs []*prog.Func) ([]*prog.Ref, map[*prog.Ref]int) {
	var list []*prog.Ref
	at := map[*prog.Ref]int{}
	graph := newCallGraph(funcs)
	seen := map[*prog.Func]bool{f: true}
	for todo := []*prog.Func{f}; len(todo) > 0; {
		f := todo[0]
		todo = todo[1:]
		for k := range f.Insns {
			in := &f.Insns[k]
			if in.Ref != nil && at[in.Ref] == 0 {
				list = append(list, in.Ref)
				at[in.Ref] = len(list)
			}
			if t := graph.target(in); t >= 0 && !seen[funcs[t]] {
				seen[funcs[t]] = true
				todo = append(todo, funcs[t])
			}
		}
	}
	return list, at
}

func encodeBody(f *prog.Func, at map[*prog.Ref]int) ([]encodedInsn, error) {
	out := make([]encodedInsn, len(f.Insns))
	for k := range f.Insns {
		in := &f.Insns[k]
		e := encodedInsn{Op: in.Row().Name, Dst: in.Dst, Src: in.Src, Off: in.Off, Imm: in.Imm, Origin: in.Origin}
		if in.Target >= 0 {
			t := in.Target
			e.Target = &t
		}
		if in.Ref != nil {
			if e.Ref = at[in.Ref]; e.Ref == 0 {
				return nil, fmt.Errorf("%s: instruction %d names %s, which the input does not", f.Name, k, in.Ref.Name)
			}
		}
		out[k] = e
	}
	return out, nil
}

// Decode rebuilds the body of a link of input function f, one of the object's
// functions.
func (l *Link) Decode(f *prog.Func, funcs []*prog.Func) (*prog.Func, error) {
	list, _ := refs(f, funcs)
	g := *f
	g.Insns = make([]prog.Insn, len(l.Body))
	for k, e := range l.Body {
		op := isa.ByName(e.Op)
		if op == 0 {
			return nil, fmt.Errorf("instruction %d: no such operation %q", k, e.Op)
		}
		in := prog.New(isa.Insn{Op: op, Dst: e.Dst, Src: e.Src, Off: e.Off, Imm: e.Imm})
		in.Origin = e.Origin
		if e.Target != nil {
			in.Target = *e.Target
		}
		if e.Ref < 0 || e.Ref > len(list) {
			return nil, fmt.Errorf("instruction %d: symbolic operand %d of %d", k, e.Ref, len(list))
		}
		if e.Ref > 0 {
			in.Ref = list[e.Ref-1]
		}
		g.Insns[k] = in
	}
	if err := prog.Check(&g); err != nil {
		return nil, err
	}
	return &g, nil
}

// NewCertificate describes a result; atomics: plain read-modify-writes may have
// become atomic operations.
func NewCertificate(input []byte, res *Result, solver string, atomics bool) (*Certificate, error) {
	c := &Certificate{Format: 2, AllowAtomics: atomics, Input: digest(input), Output: digest(res.Output), Solver: solver, Kernels: map[string][]string{}}
	for k := range res.Programs {
		if j := res.Programs[k].Judges(); len(j) > 0 {
			c.Kernels[res.Programs[k].Name] = j
		}
	}
	var inputs []*prog.Func
	for k := range res.Functions {
		inputs = append(inputs, res.Functions[k].Input)
	}
	for k := range res.Functions {
		fr := &res.Functions[k]
		if len(fr.Steps) == 0 {
			continue
		}
		_, at := refs(fr.Input, inputs)
		fc := FunctionCertificate{Index: fr.Index, Name: fr.Name, Slots: fr.Input.Slots()}
		for _, s := range fr.Steps {
			body, err := encodeBody(s.After, at)
			if err != nil {
				return nil, err
			}
			fc.Links = append(fc.Links, Link{Transform: s.Transform, Assumptions: s.Proof.Assumptions, Body: body})
		}
		c.Functions = append(c.Functions, fc)
	}
	return c, nil
}

// Slots is the size of the body.
func (l *Link) Slots() int {
	n := 0
	for _, e := range l.Body {
		in := prog.New(isa.Insn{Op: isa.ByName(e.Op)})
		n += in.Slots()
	}
	return n
}

// ParseCertificate reads a certificate and checks that it is about these two
// objects.
func ParseCertificate(b, input, output []byte) (*Certificate, error) {
	c, err := CertificateOf(b, output)
	if err == nil && c.Input != digest(input) {
		return nil, fmt.Errorf("the certificate is about another input object")
	}
	return c, err
}

// CertificateOf reads a certificate and checks that it is about this output object.
func CertificateOf(b, output []byte) (*Certificate, error) {
	c := new(Certificate)
	if err := json.Unmarshal(b, c); err != nil {
		return nil, fmt.Errorf("not a certificate: %w", err)
	}
	switch {
	case c.Format != 2:
		return nil, fmt.Errorf("certificate format %d is not known", c.Format)
	case c.Output != digest(output):
		return nil, fmt.Errorf("the certificate is about another output object")
	}
	return c, nil
}

func digest(b []byte) string {
	h := sha256.Sum256(b)
	return hex.EncodeToString(h[:])
}
