package locks

import (
	"math"
	"regexp"
	"strconv"
	"strings"

	"github.com/superbpf/superbpf/optimizer/absint"
	"github.com/superbpf/superbpf/optimizer/isa"
	"github.com/superbpf/superbpf/optimizer/prog"
)

// told is what the verifier's log says of a register.
type told struct {
	kind absint.Kind
	num  absint.Num // a scalar's
	// bytes is how many bytes from a packet pointer on are in the packet; -1 where
	// the log does not say.
	bytes int64
}

// join is what the log says of both.
func (a told) join(b told) told {
	if a.kind != b.kind {
		return told{kind: absint.Unknown, num: absint.Full(64)}
	}
	m := a.num.T.M | b.num.T.M | (a.num.T.V ^ b.num.T.V)
	a.num.T = absint.Tnum{V: a.num.T.V &^ m, M: m}
	wider := func(x, y absint.Range) absint.Range {
		return absint.Range{UMin: min(x.UMin, y.UMin), UMax: max(x.UMax, y.UMax), SMin: min(x.SMin, y.SMin), SMax: max(x.SMax, y.SMax)}
	}
	a.num.Range, a.num.Low = wider(a.num.Range, b.num.Range), wider(a.num.Low, b.num.Low)
	a.bytes = min(a.bytes, b.bytes)
	return a
}

// spoken is the verifier's log of a program in order.
type spoken struct {
	// after gives what it says of registers right after an instruction, all
	// visits taken together.
	after []map[isa.Reg]told
	// pruned marks the instructions before which it left a path, as one like it had
	// been seen.
	pruned []bool
	// silent marks instructions after which, at a visit, it said nothing.
	silent []bool
}

var (
	insnLine = regexp.MustCompile(`^(\d+): \([0-9a-f]{2}\) [^;]*(?:; (R\d.*))?$`)
	safeLine = regexp.MustCompile(`^(?:from \d+ to )?(\d+): safe$`)
)

// listen reads a log of f, which must be loaded alone.
func listen(f *prog.Func, log string) *spoken {
	at := map[int]int{} // slot to instruction
	slot := 0
	for k := range f.Insns {
		at[slot] = k
		slot += int(f.Insns[k].Row().Slots)
	}
	s := &spoken{after: make([]map[isa.Reg]told, len(f.Insns)), pruned: make([]bool, len(f.Insns)), silent: make([]bool, len(f.Insns))}
	for _, line := range strings.Split(log, "\n") {
		if m := safeLine.FindStringSubmatch(line); m != nil {
			n, _ := strconv.Atoi(m[1])
			s.pruned[at[n]] = true
			continue
		}
		m := insnLine.FindStringSubmatch(line)
		if m == nil {
			continue
		}
		n, _ := strconv.Atoi(m[1])
		k := at[n]
		if m[2] == "" {
			s.silent[k] = true
		}
		if s.after[k] == nil {
			s.after[k] = map[isa.Reg]told{}
		}
		for _, w := range words(m[2]) {
			name, value, ok := strings.Cut(w, "=")
			name, _, _ = strings.Cut(name, "_")
			r, err := strconv.Atoi(strings.TrimPrefix(name, "R"))
			if !ok || err != nil || name[0] != 'R' {
				continue
			}
			t := parseTold(value)
			if old, seen := s.after[k][isa.Reg(r)]; seen {
				t = old.join(t)
			}
			s.after[k][isa.Reg(r)] = t
		}
	}
	return s
}

// words splits at blanks outside of parentheses.
func words(s string) []string {
	var out []string
	depth, from := 0, 0
	for i := 0; i <= len(s); i++ {
		switch {
		case i == len(s) || s[i] == ' ' && depth == 0:
			if i > from {
				out = append(out, s[from:i])
			}
			from = i + 1
		case s[i] == '(':
			depth++
		case s[i] == ')':
			depth--
		}
	}
	return out
}

var kindsTold = map[string]absint.Kind{"scalar": absint.Scalar, "ctx": absint.Ctx, "pkt": absint.Packet, "pkt_meta": absint.PacketMeta,
	"pkt_end": absint.PacketEnd, "map_ptr": absint.MapPtr, "map_value": absint.MapValue, "map_value_or_null": absint.MapValueOrNull}

func numeral(s string) (uint64, bool) {
	if v, err := strconv.ParseUint(s, 0, 64); err == nil {
		return v, true
	}
	v, err := strconv.ParseInt(s, 0, 64)
	return uint64(v), err == nil
}

// parseTold reads a value such as 5, fp-8 or scalar(smin=umin=1,var_off=(0x0; 0xff)).
func parseTold(s string) told {
	s = strings.TrimPrefix(s, "P")
	t := told{kind: absint.Unknown, num: absint.Full(64), bytes: -1}
	if v, ok := numeral(s); ok {
		t.kind, t.num = absint.Scalar, absint.Const(v, 64)
		return t
	}
	name, rest, ok := strings.Cut(s, "(")
	if strings.HasPrefix(s, "fp") {
		t.kind = absint.Stack
		return t
	}
	k, known := kindsTold[name]
	if !ok || !known {
		return t
	}
	t.kind = k
	rest = strings.TrimSuffix(rest, ")")
	off, reach := uint64(0), uint64(math.MaxUint64)
	for _, field := range strings.Split(strings.ReplaceAll(rest, "; ", ";"), ",") {
		parts := strings.Split(field, "=")
		value := parts[len(parts)-1]
		for _, name := range parts[:len(parts)-1] {
			if name == "var_off" {
				a, b, _ := strings.Cut(strings.Trim(value, "()"), ";")
				v, _ := numeral(a)
				m, _ := numeral(b)
				t.num.T = absint.Tnum{V: v, M: m}
				continue
			}
			v, _ := numeral(value)
			switch name {
			case "imm":
				t.num = absint.Const(v, 64)
			case "off":
				off = v
			case "r":
				reach = v
			case "smin":
				t.num.SMin = int64(v)
			case "smax":
				t.num.SMax = int64(v)
			case "umin":
				t.num.UMin = v
			case "umax":
				t.num.UMax = v
			case "smin32":
				t.num.Low.SMin = int64(int32(v))
			case "smax32":
				t.num.Low.SMax = int64(int32(v))
			case "umin32":
				t.num.Low.UMin = v & math.MaxUint32
			case "umax32":
				t.num.Low.UMax = v & math.MaxUint32
			}
		}
	}
	if k == absint.Packet && reach < 1<<16 {
		t.bytes = max(int64(reach)-int64(off), 0)
	}
	return t
}
