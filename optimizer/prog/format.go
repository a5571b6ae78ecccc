package prog

import (
	"fmt"
	"strings"

	"github.com/superbpf/superbpf/optimizer/isa"
)

// FormatFunc writes a function in the text form that ParseFunc reads. Symbolic
// operands other than maps and subprograms become comments, and so do program
// and map types without a name.
func FormatFunc(f *Func) string {
	var b strings.Builder
	if n := nameOf(typeNames, f.Type); n != "" {
		fmt.Fprintf(&b, "type %s\n", n)
	} else {
		fmt.Fprintf(&b, "; program type %d\n", f.Type)
	}
	maps := map[string]bool{}
	declare := func(m *Map) {
		if m == nil || maps[m.Name] {
			return
		}
		maps[m.Name] = true
		if n := nameOf(mapTypeNames, m.Type); n != "" {
			fmt.Fprintf(&b, "map %s %s %d %d %d\n", m.Name, n, m.KeySize, m.ValueSize, m.MaxEntries)
		} else {
			fmt.Fprintf(&b, "; map %s of type %d\n", m.Name, m.Type)
		}
	}
	if !f.Entry {
		last := 0
		for i, a := range f.Args {
			if declare(a.Map); a != (Arg{}) {
				last = i + 1
			}
		}
		fmt.Fprintf(&b, "subprogram %d", f.NumArgs)
		for _, a := range f.Args[:last] {
			fmt.Fprintf(&b, " %v", a)
		}
		b.WriteByte('\n')
	}
	labels := map[int]string{}
	for k := range f.Insns {
		in := &f.Insns[k]
		if r := in.Ref; r != nil {
			declare(r.Map)
		}
		if in.Target >= 0 {
			labels[in.Target] = fmt.Sprintf("L%d", in.Target)
		}
	}
	for k := range f.Insns {
		in := &f.Insns[k]
		if l := labels[k]; l != "" {
			b.WriteString(l + ":\n")
		}
		b.WriteString(formatInsn(in, labels[in.Target]))
		if in.Origin != k {
			fmt.Fprintf(&b, " @%d", in.Origin)
		}
		b.WriteByte('\n')
	}
	return b.String()
}

func formatInsn(in *Insn, target string) string {
	row := in.Row()
	if r := in.Ref; r != nil {
		switch {
		case r.Kind == RefMap && r.Map != nil:
			return fmt.Sprintf("r%d = map %s ll", in.Dst, r.Map.Name)
		case r.Kind == RefMapValue && r.Map != nil:
			what := "value"
			if r.Loose {
				what = "loose"
			}
			return fmt.Sprintf("r%d = %s %s+%d ll", in.Dst, what, r.Map.Name, r.Off)
		case r.Kind == RefFunc && row.Kind == isa.KindCallFunc:
			return "call func " + r.Name
		case r.Kind == RefFunc && row.Kind == isa.KindLoadImm:
			return fmt.Sprintf("r%d = func %s ll", in.Dst, r.Name)
		}
		return isa.Format(in.Insn, target) + " ; " + r.Name
	}
	if row.Kind == isa.KindCallHelper {
		if h := isa.HelperOf(int32(in.Imm)); h.Name != "" {
			return "call " + h.Name
		}
	}
	return isa.Format(in.Insn, target)
}

func nameOf[K comparable](m map[string]K, v K) string {
	for n, x := range m {
		if x == v {
			return n
		}
	}
	return ""
}
