package isa

import (
	"fmt"
	"strconv"
	"strings"
)

// Format writes i in its row's syntax; target is the text for a jump target.
func Format(i Insn, target string) string {
	s := i.Row().Syntax
	var b strings.Builder
	for {
		k := strings.IndexByte(s, '{')
		if k < 0 {
			b.WriteString(s)
			return b.String()
		}
		b.WriteString(s[:k])
		e := k + strings.IndexByte(s[k:], '}')
		switch s[k+1 : e] {
		case "d":
			fmt.Fprintf(&b, "r%d", i.Dst)
		case "s":
			fmt.Fprintf(&b, "r%d", i.Src)
		case "dw":
			fmt.Fprintf(&b, "w%d", i.Dst)
		case "sw":
			fmt.Fprintf(&b, "w%d", i.Src)
		case "i":
			b.WriteString(strconv.FormatInt(i.Imm, 10))
		case "o":
			if i.Off < 0 {
				fmt.Fprintf(&b, "- %d", -int(i.Off))
			} else {
				fmt.Fprintf(&b, "+ %d", i.Off)
			}
		case "t":
			b.WriteString(target)
		}
		s = s[e+1:]
	}
}
