package isa

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"sync"
)

// pattern is a row's syntax as a regular expression; fields name its groups.
type pattern struct {
	op     Op
	re     *regexp.Regexp
	fields []string
}

var patterns = sync.OnceValue(func() []pattern {
	group := map[string]string{"d": `r(\d+)`, "s": `r(\d+)`, "dw": `w(\d+)`, "sw": `w(\d+)`,
		"i": `(-?(?:0x[0-9a-fA-F]+|\d+))`, "o": `([-+] ?(?:0x[0-9a-fA-F]+|\d+))`, "t": `(\S+)`}
	var out []pattern
	for _, r := range Rows() {
		p := pattern{op: r.Op}
		s, re := r.Syntax, "^"
		for {
			k := strings.IndexByte(s, '{')
			if k < 0 {
				re += regexp.QuoteMeta(s) + "$"
				break
			}
			e := k + strings.IndexByte(s[k:], '}')
			f := s[k+1 : e]
			re += regexp.QuoteMeta(s[:k]) + group[f]
			p.fields = append(p.fields, f)
			s = s[e+1:]
		}
		p.re = regexp.MustCompile(re)
		out = append(out, p)
	}
	return out
})

// Parse reads an instruction in the syntax that Format writes. Numbers may be
// hexadecimal. The jump target, if any, comes back as text.
func Parse(line string) (Insn, string, error) {
	line = strings.Join(strings.Fields(line), " ")
	for _, p := range patterns() {
		m := p.re.FindStringSubmatch(line)
		if m == nil {
			continue
		}
		in := Insn{Op: p.op}
		target := ""
		seen := map[string]string{}
		ok := true
		for i, f := range p.fields {
			v := m[i+1]
			if was, dup := seen[f]; dup && was != v {
				ok = false
			}
			seen[f] = v
			switch f {
			case "d", "dw", "s", "sw":
				n, _ := strconv.Atoi(v)
				if n >= NumRegs {
					return Insn{}, "", fmt.Errorf("%q: %w", line, ErrRegister)
				}
				if f[0] == 'd' {
					in.Dst = Reg(n)
				} else {
					in.Src = Reg(n)
				}
			case "i":
				n, err := parseInt(v)
				if err != nil {
					return Insn{}, "", fmt.Errorf("%q: %w", line, err)
				}
				in.Imm = n
			case "o":
				n, err := parseInt(strings.ReplaceAll(strings.TrimPrefix(v, "+"), " ", ""))
				if err != nil || n < -1<<15 || n >= 1<<15 {
					return Insn{}, "", fmt.Errorf("%q: offset out of range", line)
				}
				in.Off = int16(n)
			case "t":
				target = v
			}
		}
		if !ok {
			continue
		}
		if RowOf(p.op).Kind != KindLoadImm && int64(int32(in.Imm)) != in.Imm {
			if uint64(in.Imm)>>32 != 0 {
				return Insn{}, "", fmt.Errorf("%q: immediate does not fit 32 bits", line)
			}
			in.Imm = int64(int32(in.Imm))
		}
		return in, target, nil
	}
	return Insn{}, "", fmt.Errorf("%q: no such instruction", line)
}

func parseInt(s string) (int64, error) {
	s = strings.ReplaceAll(s, " ", "")
	if n, err := strconv.ParseInt(s, 0, 64); err == nil {
		return n, nil
	}
	n, err := strconv.ParseUint(s, 0, 64)
	return int64(n), err
}
