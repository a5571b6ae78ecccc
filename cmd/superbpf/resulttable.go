package main

import (
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/olekukonko/tablewriter"

	"github.com/superbpf/superbpf/optimizer/pipeline"
)

// Widths in characters: of a function's name in the table, and of the notes
// below it.
const (
	nameWidth = 28
	noteWidth = 100
)

// notes are the remarks below a table: each text once, with what it is about.
type notes struct {
	order []string
	about map[string][]string
}

// add returns the mark of a note, such as "[2]"; empty for no text.
func (n *notes) add(name, text string) string {
	if text == "" {
		return ""
	}
	if n.about == nil {
		n.about = map[string][]string{}
	}
	if n.about[text] == nil {
		n.order = append(n.order, text)
	}
	n.about[text] = append(n.about[text], name)
	for i, t := range n.order {
		if t == text {
			return fmt.Sprintf("[%d]", i+1)
		}
	}
	return ""
}

// write prints the notes, wrapped.
func (n *notes) write(w io.Writer) error {
	for i, t := range n.order {
		names := n.about[t]
		who := strings.Join(names[:min(len(names), 3)], ", ")
		if len(names) > 3 {
			who += fmt.Sprintf(" and %d more", len(names)-3)
		}
		if err := wrap(w, fmt.Sprintf("[%d] %s: %s", i+1, who, t), noteWidth, "    "); err != nil {
			return err
		}
	}
	return nil
}

// wrap prints words in lines of about width characters; lines after the first
// start with indent.
func wrap(w io.Writer, text string, width int, indent string) error {
	line := ""
	for _, word := range strings.Fields(text) {
		if line != "" && len(line)+1+len(word) > width {
			if _, err := fmt.Fprintln(w, line); err != nil {
				return err
			}
			line = indent + word
			continue
		}
		if line != "" {
			line += " "
		}
		line += word
	}
	_, err := fmt.Fprintln(w, line)
	return err
}

// shorten cuts a name in the middle.
func shorten(s string, n int) string {
	r := []rune(s)
	if len(r) <= n {
		return s
	}
	return string(r[:n/2]) + "…" + string(r[len(r)-(n-n/2-1):])
}

// change shows a figure before and after.
func change(before, after int) string {
	if before == after {
		return fmt.Sprint(before)
	}
	return fmt.Sprintf("%d → %d", before, after)
}

// changeStack does so for the frames of a program and its subprograms.
func changeStack(before, after []int) string {
	if b, a := pipeline.StackText(before), pipeline.StackText(after); b != a {
		return b + " → " + a
	}
	return pipeline.StackText(before)
}

// writeTable prints one row a function and the reasons and measurements below.
func writeTable(w io.Writer, res *pipeline.Result) error {
	t := tablewriter.NewWriter(w)
	t.Header("function", "slots", "saved", "xlated B", "jited B", "processed", "stack B", "result")
	var n notes
	for k := range res.Functions {
		fr := &res.Functions[k]
		saved := ""
		if fr.Before.Slots > 0 {
			saved = fmt.Sprintf("%.1f %%", 100*float64(fr.Before.Slots-fr.After.Slots)/float64(fr.Before.Slots))
		}
		row := []any{shorten(fr.Name, nameWidth), change(fr.Before.Slots, fr.After.Slots), saved, "", "", "", "", resultWord(fr, res, &n)}
		for i := range res.Programs {
			if p := &res.Programs[i]; fr.Entry && p.Name == fr.Name && p.Before.Accepted {
				copy(row[3:], []any{change(p.Before.XlatedBytes, p.After.XlatedBytes), change(p.Before.JitedBytes, p.After.JitedBytes),
					change(p.Before.VerifiedInsns, p.After.VerifiedInsns), changeStack(p.Before.Stack, p.After.Stack)})
			}
		}
		if err := t.Append(row...); err != nil {
			return err
		}
	}
	if err := t.Render(); err != nil {
		return err
	}
	return n.write(w)
}

// resultWord says in a word what became of a function; the rest goes to the notes.
func resultWord(fr *pipeline.FuncResult, res *pipeline.Result, n *notes) string {
	if fr.Skipped != "" {
		return "left alone " + n.add(fr.Name, whyLeft(fr, res))
	}
	if fr.Uncalled {
		return "called no more"
	}
	word := "unchanged"
	if len(fr.Steps) > 0 {
		word = fmt.Sprintf("proved, steps: %d", len(fr.Steps))
	}
	if fr.Cut && !res.Stopped {
		word += " " + n.add(fr.Name, "the budget ended the search: --steps or --budget give it more")
	}
	for i := range res.Programs {
		if p := &res.Programs[i]; fr.Entry && p.Name == fr.Name {
			for _, k := range p.Kernels {
				if !k.Before.Accepted {
					word += " " + n.add(fr.Name, "not gated by "+k.Name+": refuses the input: "+k.Before.Reason)
				}
			}
		}
	}
	if mark := n.add(fr.Name, fr.Measured); mark != "" {
		word += " " + mark
	}
	return word
}

// whyLeft is the reason why a function was left as it is, with the kernel's own
// words where it was the kernel.
func whyLeft(fr *pipeline.FuncResult, res *pipeline.Result) string {
	if fr.Input.Unsupported != "" {
		return fr.Input.Unsupported
	}
	var refused []string
	for i := range res.Programs {
		switch p := &res.Programs[i]; {
		case p.Before.Accepted:
		case fr.Entry && p.Name == fr.Name:
			var why []string
			for _, k := range p.Kernels {
				why = append(why, k.Name+": "+k.Before.Reason)
			}
			return "the kernel refuses the input: " + strings.Join(why, "; ")
		case slices.Contains(fr.Programs, p.Name):
			refused = append(refused, p.Name)
		}
	}
	if len(refused) > 0 && !fr.Entry {
		return "part of a program that the kernel refuses: " + strings.Join(refused, ", ")
	}
	return fr.Skipped
}
