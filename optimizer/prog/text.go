package prog

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/superbpf/superbpf/optimizer/isa"
)

// ParseFunc reads a function in text form, as test cases hold it: one
// instruction a line in the syntax of package isa, "name:" for a label,
// comments after ';' or '#'. Header lines come first:
//
//	type xdp
//	map NAME TYPE KEYSIZE VALUESIZE MAXENTRIES
//	subprogram ARGUMENTS [WHAT...]
//
// A subprogram's header may say what is known of R1, R2, ... as Arg.String does.
// A reference to a map is `r1 = map NAME ll`, to its first value plus an offset
// `r1 = value NAME+8 ll`, or `r1 = loose NAME+8 ll` where loaders disagree on it, to a subprogram `call func NAME` and `r1 = func NAME ll`;
// a helper may be called by name, `call map_lookup_elem`. A remark that begins
// with CO-RE makes the loader complete the instruction. Each instruction's Origin is its index, unless it is
// followed by `@N`.
func ParseFunc(name, text string) (*Func, error) {
	f := &Func{Name: name, Section: "test", Entry: true, Type: TypeXDP, NumArgs: 1}
	maps := map[string]*Map{}
	refs := map[string]*Ref{}
	labels := map[string]int{}
	type fix struct {
		at    int
		label string
	}
	var fixes []fix
	for n, line := range strings.Split(text, "\n") {
		core := ""
		if k := strings.IndexAny(line, ";#"); k >= 0 {
			rest, origin, _ := strings.Cut(line[k+1:], " @")
			line = line[:k]
			if core = strings.TrimSpace(rest); !strings.HasPrefix(core, corePrefix) {
				core = ""
			} else if origin != "" {
				line += " @" + origin
			}
		}
		line = strings.TrimSpace(line)
		w := strings.Fields(line)
		bad := func(err any) error { return fmt.Errorf("%s, line %d: %q: %v", name, n+1, line, err) }
		switch {
		case line == "":
			continue
		case w[0] == "type" && len(w) == 2:
			t, ok := typeNames[w[1]]
			if !ok {
				return nil, bad("no such program type")
			}
			f.Type = t
			continue
		case w[0] == "subprogram" && len(w) >= 2 && len(w) <= 7:
			f.Entry = false
			v, err := strconv.ParseUint(w[1], 10, 3)
			if err != nil || v > 5 {
				return nil, bad("0 to 5 arguments")
			}
			f.NumArgs, f.Args = int(v), [5]Arg{}
			for i, a := range w[2:] {
				if f.Args[i], err = parseArg(a, maps); err != nil {
					return nil, bad(err)
				}
			}
			continue
		case w[0] == "map" && len(w) == 6:
			m := &Map{Name: w[1], Type: mapTypeNames[w[2]]}
			if maps[m.Name] != nil || strings.Contains(m.Name, "+") {
				return nil, bad("bad or repeated name")
			}
			if m.Type == 0 {
				return nil, bad("no such map type")
			}
			for i, p := range []*uint32{&m.KeySize, &m.ValueSize, &m.MaxEntries} {
				v, err := strconv.ParseUint(w[3+i], 0, 32)
				if err != nil {
					return nil, bad(err)
				}
				*p = uint32(v)
			}
			maps[m.Name] = m
			continue
		case strings.HasSuffix(line, ":") && len(w) == 1:
			labels[line[:len(line)-1]] = len(f.Insns)
			continue
		}
		in := New(isa.Insn{})
		in.Origin = len(f.Insns)
		if k := strings.LastIndexByte(line, '@'); k >= 0 {
			o, err := strconv.Atoi(line[k+1:])
			if err != nil {
				return nil, bad(err)
			}
			in.Origin = o
			line = strings.TrimSpace(line[:k])
			w = strings.Fields(line)
		}
		if core != "" {
			if refs[core] == nil {
				refs[core] = &Ref{Kind: RefCORE, Name: core, Signed: strings.HasSuffix(core, SignedField)}
			}
			in.Ref = refs[core]
		}
		if len(w) == 5 && w[1] == "=" && (w[2] == "map" || w[2] == "value" || w[2] == "loose") && w[4] == "ll" {
			key := w[2] + " " + w[3]
			r := refs[key]
			if r == nil {
				sym, off, _ := strings.Cut(w[3], "+")
				m := maps[sym]
				if m == nil {
					return nil, bad("no such map")
				}
				o, err := strconv.ParseInt("0"+off, 10, 32)
				if err != nil || w[2] == "map" && off != "" {
					return nil, bad("bad offset")
				}
				r = &Ref{Kind: RefMap, Name: sym, Map: m, Off: o}
				if w[2] != "map" {
					r.Kind, r.Loose = RefMapValue, w[2] == "loose"
				}
				refs[key] = r
			}
			line = w[0] + " = map_fd 0 ll"
			if r.Kind == RefMapValue {
				line = w[0] + " = map_value 0 ll"
			}
			in.Ref = r
		}
		line = symbols(&in, w, line, refs)
		i, target, err := isa.Parse(line)
		if err != nil {
			return nil, bad(err)
		}
		in.Insn = i
		if in.IsJump() {
			fixes = append(fixes, fix{len(f.Insns), target})
		}
		f.Insns = append(f.Insns, in)
	}
	for _, x := range fixes {
		t, ok := labels[x.label]
		if !ok {
			return nil, fmt.Errorf("%s: no label %q", name, x.label)
		}
		f.Insns[x.at].Target = t
	}
	return f, Check(f)
}

const corePrefix = "CO-RE "

// SignedField ends the name of a RefCORE that is Signed.
const SignedField = ", signed"

// symbols replaces names of subprograms and helpers by numbers and gives the
// instruction its reference.
func symbols(in *Insn, w []string, line string, refs map[string]*Ref) string {
	named := func(s string) bool { return strings.Trim(s, "-0123456789xabcdefABCDEF") != "" }
	ref := func(name string) {
		key := "func " + name
		if refs[key] == nil {
			refs[key] = &Ref{Kind: RefFunc, Name: name}
		}
		in.Ref = refs[key]
	}
	switch {
	case len(w) == 3 && w[0] == "call" && w[1] == "func" && named(w[2]):
		ref(w[2])
		return "call func 0"
	case len(w) == 5 && w[2] == "func" && w[4] == "ll" && named(w[3]):
		ref(w[3])
		return w[0] + " = func 0 ll"
	case len(w) == 2 && w[0] == "call":
		if h, ok := isa.HelperByName(w[1]); ok {
			return fmt.Sprintf("call %d", h.ID)
		}
	}
	return line
}

var typeNames = map[string]Type{"xdp": TypeXDP, "tc": TypeSchedCLS, "socket": TypeSocketFilter, "tracepoint": TypeTracepoint,
	"raw_tracepoint": TypeRawTracepoint, "cgroup_skb": TypeCgroupSKB, "sock_addr": TypeCgroupSockAddr, "kprobe": TypeKprobe, "tracing": TypeTracing, "ext": TypeExt}

// String names a map type, or gives its number.
func (t MapType) String() string {
	if n := nameOf(mapTypeNames, t); n != "" {
		return n
	}
	return strconv.Itoa(int(t))
}

var mapTypeNames = map[string]MapType{"hash": MapHash, "array": MapArray, "percpu_array": MapPerCPUArray, "percpu_hash": MapPerCPUHash,
	"lru_hash": MapLRUHash, "lru_percpu_hash": MapLRUPerCPUHash, "lpm_trie": MapLPMTrie, "prog_array": MapProgArray, "perf_event_array": MapPerfEvent,
	"devmap": MapDevMap, "devmap_hash": MapDevMapHash, "cpumap": MapCPUMap, "xskmap": MapXSKMap, "queue": MapQueue, "stack": MapStack, "ringbuf": MapRingBuf}
