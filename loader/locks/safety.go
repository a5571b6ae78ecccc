package locks

import (
	"context"
	"fmt"
	"math/rand/v2"
	"regexp"
	"strings"

	"github.com/superbpf/superbpf/loader"
	"github.com/superbpf/superbpf/optimizer/equiv/mutate"
	"github.com/superbpf/superbpf/optimizer/isa"
	"github.com/superbpf/superbpf/optimizer/prog"
	"github.com/superbpf/superbpf/optimizer/safety"
)

// Judgement counts how package safety and the kernel judge the same programs.
type Judgement struct {
	Programs, Corpus int
	// Both say yes, both say no, only safety says yes, only the kernel does.
	BothYes, BothNo, OnlySafety, OnlyKernel int
	// Incomplete counts programs of which safety saw no more than a part.
	Incomplete int
	// Why counts disagreements: the kernel's reason or safety's, numbers aside.
	Why map[string]int
	// Examples holds one program for each of these.
	Examples map[string]*prog.Func
}

type mapDef struct {
	typ                 prog.MapType
	key, value, entries uint32
}

// judge asks both about programs.
type judge struct {
	maps map[mapDef]*loader.RawMap
	j    Judgement
}

func (j *judge) close() {
	for _, m := range j.maps {
		m.Close()
	}
}

// code encodes a function with maps made for it.
func (j *judge) code(f *prog.Func) ([]byte, error) {
	fds := map[string]int{}
	for k := range f.Insns {
		r := f.Insns[k].Ref
		if r == nil || fds[r.Name] != 0 {
			continue
		}
		def := mapDef{r.Map.Type, r.Map.KeySize, r.Map.ValueSize, r.Map.MaxEntries}
		m := j.maps[def]
		if m == nil {
			var err error
			if m, err = loader.NewRawMap(uint32(def.typ), int(def.key), int(def.value), int(def.entries)); err != nil {
				return nil, err
			}
			j.maps[def] = m
		}
		fds[r.Name] = m.FD()
	}
	return Encode(f, fds)
}

// plain makes f loadable without its object, if it needs nothing but maps that
// a type and sizes define.
func plain(f *prog.Func) (*prog.Func, bool) {
	if !f.Entry || f.Unsupported != "" || len(f.Insns) == 0 {
		return nil, false
	}
	g := f.Clone()
	refs := map[*prog.Ref]*prog.Ref{}
	for k := range g.Insns {
		in := &g.Insns[k]
		switch in.Row().Kind {
		case isa.KindCallFunc, isa.KindCallKfunc, isa.KindCallReg, isa.KindAddrCast:
			return nil, false
		}
		r := in.Ref
		if r == nil {
			continue
		}
		if r.Kind != prog.RefMap && r.Kind != prog.RefMapValue || r.Map == nil || r.Map.Inner != nil {
			return nil, false
		}
		if refs[r] == nil {
			m := *r.Map
			m.Flags, m.ReadOnly, m.Data = 0, false, nil // as it is made here
			c := *r
			c.Map = &m
			refs[r] = &c
		}
		in.Ref = refs[r]
		in.Op = isa.ByName("lddw_map_fd")
		if r.Kind == prog.RefMapValue {
			in.Op = isa.ByName("lddw_map_value")
		}
	}
	return g, true
}

// JudgeSafety damages programs, random ones and those of a corpus in turn, and
// compares what package safety and the running kernel say of them. Functions of
// the corpus that need more than maps, or that the kernel refuses as they are,
// are left out.
func JudgeSafety(ctx context.Context, corpus []*prog.Func, count int, seed uint64, progress func(done int)) (*Judgement, error) {
	r := rand.New(rand.NewPCG(seed, 0x5afe))
	j := &judge{maps: map[mapDef]*loader.RawMap{}, j: Judgement{Why: map[string]int{}, Examples: map[string]*prog.Func{}}}
	defer j.close()
	var usable []*prog.Func
	for _, f := range corpus {
		g, ok := plain(f)
		if !ok {
			continue
		}
		if refused, err := j.kernel(g); err == nil && refused == "" {
			usable = append(usable, g)
		}
	}
	j.j.Corpus = len(usable)
	for j.j.Programs < count {
		if err := ctx.Err(); err != nil {
			return &j.j, err
		}
		var f *prog.Func
		if len(usable) > 0 && j.j.Programs%2 == 1 {
			f = usable[r.IntN(len(usable))].Clone()
		} else {
			f = Program(r, 1+r.IntN(24), nil)
		}
		for range 1 + r.IntN(2) {
			mutate.Damage(r, f)
		}
		if prog.Check(f) != nil {
			continue
		}
		f.Compact()
		if prog.Check(f) != nil {
			continue
		}
		if err := j.one(f); err != nil {
			continue // it has no encoding
		}
		if progress != nil {
			progress(j.j.Programs)
		}
	}
	return &j.j, nil
}

// kernel gives the kernel's reason to refuse f, empty when it does not. The
// error says that it could not be asked.
func (j *judge) kernel(f *prog.Func) (refused string, err error) {
	code, err := j.code(f)
	if err != nil {
		return "", err
	}
	p, err := loader.LoadRaw(uint32(f.Type), code, loader.RawOptions{AttachType: f.Attach})
	if err != nil {
		return lastLine(err.Error()), nil
	}
	return "", p.Close()
}

func (j *judge) one(f *prog.Func) error {
	refused, err := j.kernel(f)
	if err != nil {
		return err
	}
	v := safety.Check(f)
	j.j.Programs++
	if !v.Complete {
		j.j.Incomplete++
	}
	why := ""
	switch {
	case v.Refused && refused != "":
		j.j.BothNo++
	case !v.Refused && refused == "":
		j.j.BothYes++
	case v.Refused:
		j.j.OnlyKernel++
		why = "safety alone: " + number.ReplaceAllString(v.Reason, "N")
	default:
		j.j.OnlySafety++
		why = "kernel alone: " + number.ReplaceAllString(refused, "N")
	}
	if why != "" {
		j.j.Why[why]++
		if j.j.Examples[why] == nil {
			j.j.Examples[why] = f
		}
	}
	return nil
}

var number = regexp.MustCompile(`-?\b(0x[0-9a-f]+|\d+)\b|\d+`)

// lastLine is the checker's last word.
func lastLine(log string) string {
	last := ""
	for _, l := range strings.Split(log, "\n") {
		l = strings.TrimSpace(l)
		if l == "" || strings.HasPrefix(l, "processed ") || strings.HasPrefix(l, "verification time") || strings.HasPrefix(l, "stack depth") {
			continue
		}
		last = l
	}
	if last == "" {
		return fmt.Sprintf("no reason (%s)", log)
	}
	return last
}
