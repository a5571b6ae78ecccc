package loader

import (
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// ReasonKind classes what a verifier complains of.
type ReasonKind string

// The kinds of complaints. Unknown is a complaint that no entry of the table
// knows; its line says more.
const (
	ReasonUnknown     ReasonKind = "unknown"
	ReasonUnbounded   ReasonKind = "unbounded memory access"
	ReasonPacket      ReasonKind = "access outside the packet"
	ReasonMap         ReasonKind = "access outside a map value"
	ReasonStack       ReasonKind = "invalid stack access"
	ReasonStackSize   ReasonKind = "stack too large"
	ReasonContext     ReasonKind = "invalid context access"
	ReasonMemory      ReasonKind = "invalid memory access"
	ReasonNull        ReasonKind = "pointer may be NULL"
	ReasonAlignment   ReasonKind = "misaligned access"
	ReasonReference   ReasonKind = "reference or lock not released"
	ReasonComplexity  ReasonKind = "too complex"
	ReasonLoop        ReasonKind = "loop without end"
	ReasonType        ReasonKind = "argument of the wrong type"
	ReasonUninit      ReasonKind = "uninitialized register"
	ReasonPointer     ReasonKind = "pointer arithmetic prohibited"
	ReasonLeak        ReasonKind = "pointer leaks"
	ReasonReturn      ReasonKind = "return value out of range"
	ReasonCall        ReasonKind = "call not allowed"
	ReasonInstruction ReasonKind = "instruction not supported"
	ReasonFlow        ReasonKind = "control flow"
	ReasonDebug       ReasonKind = "debug information"
	ReasonRelocation  ReasonKind = "relocation without target"
	ReasonPermission  ReasonKind = "not permitted"
	ReasonAttach      ReasonKind = "no such attachment"
	ReasonMapCreate   ReasonKind = "map cannot be made"
	ReasonObject      ReasonKind = "object cannot be read"
	ReasonBug         ReasonKind = "the verifier's own error"
)

// Reason is why a program was refused.
type Reason struct {
	Kind ReasonKind
	// Line is the complaint as the kernel words it, at most three lines in one.
	Line string
	// Slot is the refused instruction, counted in 8-byte slots from the start of
	// the program with its subprograms behind it; -1 when unknown.
	Slot int
	// Register is the one that the complaint names, -1 for none.
	Register int
}

// noTarget is said of the call that the library puts where CO-RE finds nothing.
const noTarget = "invalid func unknown#195896080"

// complaints maps the wording of kernel/bpf/verifier.c (5.10 to 6.18), of the
// type-specific checks in net/core/filter.c to kinds. The first match counts, so the particular come before the general.
var complaints = []struct {
	kind    ReasonKind
	pattern *regexp.Regexp
}{
	{ReasonRelocation, regexp.MustCompile(noTarget + `|failed to find the address for kernel symbol`)},
	{ReasonAlignment, regexp.MustCompile(`misaligned`)},
	{ReasonNull, regexp.MustCompile(`invalid mem access '[a-z_]*or_null'|Possibly NULL pointer|null-check it first|_or_null expected=|or_null' expected`)},
	{ReasonComplexity, regexp.MustCompile(`program is too large|jumps is too complex|too many (subprograms|different|states)|frames is too deep|maps per program has reached|argument list too long`)},
	{ReasonLoop, regexp.MustCompile(`infinite loop|back-edge|iteration limit`)},
	{ReasonReference, regexp.MustCompile(`(?i)unreleased reference|reference leak|reference has not been acquired|must be referenced|unacquired reference|spin_lock|spin_unlock|rcu_read|rcu read|preempt|lock-ed|while holding|held lock|irq_(save|restore)|mixed with socket references|refcounted|owning`)},
	{ReasonUnbounded, regexp.MustCompile(`unbounded|min value is negative|mixed signed bounds|makes .* pointer be out of bounds|goes out of range`)},
	{ReasonPacket, regexp.MustCompile(`packet`)},
	{ReasonStackSize, regexp.MustCompile(`(?i)stack (size|of previous frames).*(too )?large|combined stack size|call stack of previous frames`)},
	{ReasonStack, regexp.MustCompile(`invalid( indirect| write to| read from| read| write| variable-offset)+ stack|(from|to) stack|stack (R[0-9]+|off|access|pointer cannot|range)|invalid stack|fp[0-9-]* (is|must)|spilled pointer|spilled ptr|var-offset|size of register (spill|fill)|stack frame of the caller|stack pointer to the caller|frame pointer is read only|variable stack`)},
	{ReasonMap, regexp.MustCompile(`only read from bpf_array|access to map (value|key)|into map forbidden|from map forbidden|outside of the allowed memory range|write to change key|direct value|map->`)},
	{ReasonContext, regexp.MustCompile(`bpf_context|modified ctx|variable ctx access|(ctx|context) (pointer|access)|narrow ctx|expected pointer to ctx|R[0-9]+ ctx is not allowed`)},
	{ReasonLeak, regexp.MustCompile(`leaks addr|leaking pointer`)},
	{ReasonPointer, regexp.MustCompile(`pointer arithmetic|arithmetic prohibited|operator .* on pointer|pointer [^ ]+ pointer prohibited|sign-extension part of pointer|partial copy of pointer|pointer comparison prohibited|subtract pointer|pointer with unsupported alu|math between|prohibited for !root|tried to [a-z]+ (from different|beyond)|subtraction from stack pointer|address spaces?`)},
	{ReasonReturn, regexp.MustCompile(`(At|In) (program|subprogram|async callback|callback).*(exit|return)|R0 not a scalar|should have been in|R0 leaks|not a known value`)},
	{ReasonUninit, regexp.MustCompile(`!read_ok`)},
	{ReasonCall, regexp.MustCompile(`cannot use helper|unknown func|cannot call|function .* is not allowed|helper call|invalid func |not supported for program type|supported only for fentry|might sleep|sleepable|not allowed (for|in) (this|probe|subprogs|functions|non-)|only allowed in|kfunc|kernel function|cannot pass map_type|tail.?call|callback|non-JITed`)},
	{ReasonInstruction, regexp.MustCompile(`unknown (opcode|insn class)|reserved fields?|invalid BPF_|BPF_LD_|invalid atomic|invalid shift|invalid bpf_ld_imm64|unrecognized bpf_ld_imm64|div by zero|BPF_ATOMIC`)},
	{ReasonFlow, regexp.MustCompile(`unreachable insn|jump out of range|jump into the middle|not an exit or jmp|invalid insn idx|invalid destination|dead end|jumps? .* (between|to other) subprog|fall.?through`)},
	{ReasonDebug, regexp.MustCompile(`func.?info|line.?info|core_relo|func_proto|BTF is malformed|type id|requires prog BTF|load(ing)? BTF|^BTF`)},
	{ReasonAttach, regexp.MustCompile(`attach|not a kernel function|struct ops|fmod_ret|struct_ops|FENTRY/FEXIT`)},
	{ReasonMemory, regexp.MustCompile(`invalid mem access|invalid access to|invalid .*(buffer )?(access|offset)|is ptr_|cannot write into|only read is supported|zero-sized|accessed directly|access size|cannot access|rdonly|beyond the end of|may write into memory|no write support`)},
	{ReasonType, regexp.MustCompile(`type=.*expected=|arg ?#?[0-9]+ |[Ee]xpected|is of type|known constant|constant offset|constant address|not a (const|scalar)|must be a|map pointer|R[0-9]+ is (invalid|not)|dynptr|iter|doesn't point|zero-terminated|map_ptr|different pointers|has no valid|format string|kptr|timer|args|not found at|point to a readonly`)},
}

// failures does the same for what the loading library says.
var failures = []struct {
	kind    ReasonKind
	pattern *regexp.Regexp
}{
	{ReasonMapCreate, regexp.MustCompile(`(^|: )map |inner map|map create`)},
	{ReasonRelocation, regexp.MustCompile(`unsatisfied program reference|CO-RE|relocat|kfunc|ksym|symbol|Kconfig|kconfig`)},
	{ReasonAttach, regexp.MustCompile(`attach|struct_ops|find target|not supported`)},
	{ReasonDebug, regexp.MustCompile(`BTF|func info|line info`)},
}

// classifyError finds the kind of a failure that came without a log.
func classifyError(err error) ReasonKind {
	switch {
	case errors.Is(err, unix.EPERM):
		return ReasonPermission
	case errors.Is(err, unix.EFAULT):
		return ReasonBug
	case errors.Is(err, unix.E2BIG):
		return ReasonComplexity
	}
	for _, f := range failures {
		if f.pattern.MatchString(err.Error()) {
			return f.kind
		}
	}
	return ReasonUnknown
}

// Classify finds the kind of a complaint.
func Classify(line string) ReasonKind {
	for _, c := range complaints {
		if c.pattern.MatchString(line) {
			return c.kind
		}
	}
	return ReasonUnknown
}

var (
	// An instruction as the verifier walks over it: "12: (61) r2 = ...".
	walked = regexp.MustCompile(`^([0-9]+): \(([0-9a-f]{2})\)`)
	// Lines that are no complaints: source lines, states, statistics.
	chatter = regexp.MustCompile(`^(;|[0-9]+: (R[0-9]|frame|safe|ref)|(frame ?[0-9]+: )?R[0-9]+(_[rwD]+)?=|frame[0-9]+:|from [0-9]+ to|processed [0-9]+ insns|verification time|stack depth|mark_precise|` +
		`func#[0-9]+ @|[Ff]unc#[0-9]+ .* is (safe|global)|Validating |(cur|old) state:|caller:|callee:|returning from callee|to caller at|last_idx|regs=|parent (didn't|already)|propagating|max_states|Live regs|\(truncated|$)`)
	named    = regexp.MustCompile(`\binsn (?:idx )?([0-9]+)`)
	register = regexp.MustCompile(`\bR([0-9]+)\b`)
)

// ParseLog finds the complaint at the end of a verifier's log, and the
// instruction that it is about: the one the complaint names, else the last that
// the verifier walked over.
func ParseLog(log []string) Reason {
	r := Reason{Kind: ReasonUnknown, Slot: -1, Register: -1}
	lines := 0
	for i := len(log) - 1; i >= 0; i-- {
		l := strings.TrimSpace(log[i])
		if m := walked.FindStringSubmatch(l); m != nil {
			if r.Slot < 0 {
				r.Slot, _ = strconv.Atoi(m[1])
			}
			break
		}
		if chatter.MatchString(l) {
			continue
		}
		// Often two lines complain, the last of which decides the kind.
		if r.Line == "" {
			r.Line = l
		} else if lines++; lines <= 2 {
			r.Line = l + "; " + r.Line
		}
		if r.Kind == ReasonUnknown {
			r.Kind = Classify(l)
		}
		if m := register.FindStringSubmatch(l); m != nil && r.Register < 0 {
			r.Register, _ = strconv.Atoi(m[1])
		}
		if m := named.FindStringSubmatch(l); m != nil && r.Slot < 0 {
			r.Slot, _ = strconv.Atoi(m[1])
		}
	}
	return r
}

// Stats are figures that the verifier gives at the end of its work.
type Stats struct {
	// Insns is how many instructions it processed, of at most a million.
	Insns int
	// States it kept at the most at one instruction, made in all, and held at
	// once.
	StatesPerInsn, States, PeakStates int
	// Stack is the depth in bytes of the program's frame and of those of its
	// subprograms, in the order of their code. A chain of calls may use 512.
	Stack []int
}

// ParseStats reads the figures from a log made with BPF_LOG_STATS.
func ParseStats(log string) Stats {
	var s Stats
	for l := range strings.Lines(log) {
		if d, ok := strings.CutPrefix(l, "stack depth "); ok {
			s.Stack = nil
			for _, p := range strings.Split(strings.TrimSpace(d), "+") {
				if n, err := strconv.Atoi(p); err == nil {
					s.Stack = append(s.Stack, n)
				}
			}
		}
		if strings.HasPrefix(l, "processed ") {
			limit := 0
			fmt.Sscanf(l, "processed %d insns (limit %d) max_states_per_insn %d total_states %d peak_states %d",
				&s.Insns, &limit, &s.StatesPerInsn, &s.States, &s.PeakStates)
		}
	}
	return s
}
