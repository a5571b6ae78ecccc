package pipeline

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"sort"
	"strings"

	"github.com/pmezard/go-difflib/difflib"

	"github.com/superbpf/superbpf/optimizer/isa"
	"github.com/superbpf/superbpf/optimizer/prog"
)

// Listing renders a function one instruction a line. Jump targets are labels,
// so that unchanged lines stay the same when code before them shrinks.
func Listing(f *prog.Func) []string {
	label := map[int]string{}
	for k := range f.Insns {
		if t := f.Insns[k].Target; t >= 0 && label[t] == "" {
			label[t] = "?"
		}
	}
	targets := make([]int, 0, len(label))
	for t := range label {
		targets = append(targets, t)
	}
	sort.Ints(targets)
	for n, t := range targets {
		label[t] = fmt.Sprintf("L%d", n+1)
		// A target that stands for an input instruction keeps that name.
		if o := f.Insns[t].Origin; o >= 0 {
			label[t] = fmt.Sprintf("L%d", o)
		}
	}
	var out []string
	for k := range f.Insns {
		in := &f.Insns[k]
		if l := label[k]; l != "" {
			out = append(out, l+":")
		}
		t := ""
		if in.Target >= 0 {
			t = label[in.Target]
		}
		s := "  " + isa.Format(in.Insn, t)
		if in.Row().Kind == isa.KindCallHelper {
			if h := isa.HelperOf(int32(in.Imm)); h.Name != "" {
				s += " ; " + h.Name
			}
		}
		if in.Ref != nil {
			s += " ; " + in.Ref.Name
			if in.Ref.Off != 0 {
				s += fmt.Sprintf("+%d", in.Ref.Off)
			}
		}
		out = append(out, s)
	}
	return out
}

// Diff shows the difference between two bodies as a unified diff.
func Diff(before, after *prog.Func, context int) string {
	lines := func(f *prog.Func) []string {
		l := Listing(f)
		for k := range l {
			l[k] += "\n"
		}
		return l
	}
	s, err := difflib.GetUnifiedDiffString(difflib.UnifiedDiff{A: lines(before), B: lines(after), Context: context})
	if err != nil {
		return err.Error()
	}
	return s
}

// WriteReport writes what was done to each function and why it is right.
func WriteReport(w io.Writer, res *Result) error {
	var b strings.Builder
	for _, n := range res.Notes {
		fmt.Fprintf(&b, "%s\n\n", n)
	}
	for k := range res.Functions {
		fr := &res.Functions[k]
		fmt.Fprintf(&b, "%s (section %s)\n", fr.Name, fr.Section)
		for n := range res.Programs {
			if p := &res.Programs[n]; fr.Entry && p.Name == fr.Name {
				writeKernels(&b, p)
			}
		}
		if fr.Skipped != "" {
			fmt.Fprintf(&b, "  left as it is: %s\n\n", fr.Skipped)
			continue
		}
		if fr.Uncalled {
			fmt.Fprintf(&b, "  called no more, and so not loaded: %d slots\n\n", fr.Before.Slots)
			continue
		}
		fmt.Fprintf(&b, "  slots %d -> %d, estimated %.2f -> %.2f ns, %d steps, %.1fs\n", fr.Before.Slots, fr.After.Slots,
			fr.Before.Total(), fr.After.Total(), len(fr.Steps), fr.Took.Seconds())
		fmt.Fprintf(&b, "  dropped: %d not proved, %d refused by a kernel, %d not cheaper\n", fr.Refused.Proof, fr.Refused.Kernel, fr.Refused.Cost)
		if fr.Measured != "" {
			fmt.Fprintf(&b, "  %s\n", fr.Measured)
		}
		for _, t := range slices.Sorted(maps.Keys(fr.Stats)) {
			if s := fr.Stats[t]; len(s.Moves) > 0 {
				if err := writeMoves(&b, t, s); err != nil {
					return err
				}
			}
		}
		cur := fr.Input
		for n, s := range fr.Steps {
			fmt.Fprintf(&b, "\n  step %d: %s, slots %d -> %d; proved: %s\n", n+1, s.Transform, s.Before.Slots, s.Cost.Slots, s.Proof.Reason)
			for _, c := range s.Changes {
				fmt.Fprintf(&b, "    %s\n", c.Text)
			}
			for _, a := range s.Proof.Assumptions {
				fmt.Fprintf(&b, "    assumes: %s\n", a)
			}
			for _, l := range strings.Split(strings.TrimRight(Diff(cur, s.After, 2), "\n"), "\n") {
				fmt.Fprintf(&b, "    | %s\n", l)
			}
			cur = s.After
		}
		for _, r := range fr.Refused.Rewrites {
			fmt.Fprintf(&b, "  refused by %s: %s (%s), %d slots: %s: %s\n", r.Kernel, r.Transform, r.Text, r.Slots, r.Kind, strings.TrimPrefix(r.Reason, r.Kernel+": "))
		}
		for _, e := range fr.Refused.Examples {
			fmt.Fprintf(&b, "  dropped: %s\n", strings.ReplaceAll(e, "\n", " "))
		}
		b.WriteString("\n")
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// writeKernels writes what each kernel said of a program.
func writeKernels(b *strings.Builder, p *ProgResult) {
	for _, k := range p.Kernels {
		if !k.Before.Accepted {
			fmt.Fprintf(b, "  not gated by %s: refuses the input: %s: %s\n", k.Name, k.Before.Kind, k.Before.Reason)
			continue
		}
		fmt.Fprintf(b, "  %s: xlated %d -> %d bytes, jited %d -> %d bytes, processed %d -> %d instructions, stack %s -> %s bytes\n", k.Name,
			k.Before.XlatedBytes, k.After.XlatedBytes, k.Before.JitedBytes, k.After.JitedBytes,
			k.Before.VerifiedInsns, k.After.VerifiedInsns, StackText(k.Before.Stack), StackText(k.After.Stack))
	}
}

// StackText joins frames as the kernel does: 40+16.
func StackText(frames []int) string {
	var s []string
	for _, f := range frames {
		s = append(s, fmt.Sprint(f))
	}
	return strings.Join(s, "+")
}
