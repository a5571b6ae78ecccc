package isa

import "fmt"

// Kind is what an instruction does, as far as control, memory and calls go.
type Kind uint8

// The kinds.
const (
	KindInvalid    Kind = iota
	KindNop             // the deleted instruction
	KindALU             // Dst = Result
	KindLoadImm         // lddw: Dst = 64-bit immediate, or the address a pseudo form names
	KindLoad            // Dst = Result over Mem = *(Src + Off)
	KindStore           // *(Dst + Off) = Store
	KindAtomic          // *(Dst + Off) = Store, indivisibly; see Fetch
	KindJump            // always
	KindCondJump        // if Cond
	KindMayGoto         // the kernel's bounded-loop jump; taken when its budget is used up
	KindCallHelper      // Imm is the helper's number
	KindCallFunc        // a subprogram of the same object
	KindCallKfunc       // a kernel function by BTF id
	KindCallReg         // callx, through a register
	KindExit
	KindLoadPacket // LD_ABS, LD_IND
	KindAddrCast   // addr_space_cast and per-CPU address moves
)

// Fn is the operation within a kind.
type Fn uint8

// Operations of ALU instructions, then comparisons, then atomics.
const (
	FnNone Fn = iota
	FnAdd
	FnSub
	FnMul
	FnDiv
	FnSDiv
	FnMod
	FnSMod
	FnOr
	FnAnd
	FnXor
	FnLsh
	FnRsh
	FnArsh
	FnNeg
	FnMov
	FnMovSX // Bits is the source width
	FnToLE  // Bits is the width kept
	FnToBE  // Bits is the width swapped
	FnBSwap // Bits is the width swapped
	FnJeq   // ==
	FnJne   // !=
	FnJgt   // > unsigned
	FnJge   // >=
	FnJlt   // <
	FnJle   // <=
	FnJsgt  // > signed
	FnJsge  // >=
	FnJslt  // <
	FnJsle  // <=
	FnJset  // & != 0
	FnXchg  // atomic exchange
	FnCmpXchg
	FnLoadAcq  // load-acquire
	FnStoreRel // store-release
)

// LoadImmForm says what the 64-bit immediate of an lddw names.
type LoadImmForm uint8

// The pseudo forms of lddw, by source register (include/uapi/linux/bpf.h).
const (
	FormConst       LoadImmForm = iota // a plain constant
	FormMapFD                          // BPF_PSEUDO_MAP_FD
	FormMapValue                       // BPF_PSEUDO_MAP_VALUE
	FormBTFID                          // BPF_PSEUDO_BTF_ID: a kernel variable
	FormFunc                           // BPF_PSEUDO_FUNC: a callback
	FormMapIdx                         // BPF_PSEUDO_MAP_IDX
	FormMapIdxValue                    // BPF_PSEUDO_MAP_IDX_VALUE
)

// Row is one opcode.
type Row struct {
	Op   Op
	Name string // unique, stable: cost keys and reports use it
	// Syntax is the LLVM assembler form with operands in braces: {d} {s} 64-bit
	// registers, {dw} {sw} 32-bit ones, {i} immediate, {o} signed memory
	// offset, {t} jump target.
	Syntax string

	Code uint8 // the opcode byte
	// SrcIs, OffIs and ImmIs fix a field of the encoding that tells this row
	// from others with the same Code; the matching Has bit is set.
	SrcIs          uint8
	OffIs          int16
	ImmIs          int32
	HasSrc, HasOff bool
	HasImm         bool

	Kind   Kind
	Fn     Fn
	Width  uint8 // ALU and compare: 32 or 64; memory: the access in bits
	Bits   uint8 // movsx, endian, bswap: the inner width
	Imm    bool  // the source operand is the immediate
	Signed bool  // sign-extending load
	Fetch  bool  // atomic that returns the old value in Src
	Form   LoadImmForm
	Slots  uint8
	MinCPU uint8 // the -mcpu level that introduced it, 1 to 4

	ReadsDst, ReadsSrc bool // ALU operands

	// Meaning. Result is the 64-bit value written to the destination register
	// (Src for fetching atomics, R0 for cmpxchg), Store the Width-bit value
	// written to memory, Cond the branch condition. Nil where there is none.
	Result, Store, Cond *Expr
}

var (
	table  = []Row{{Name: "invalid"}}
	byCode [256][]Op
	byName = map[string]Op{}
)

// Fixed rows that code refers to by name. Others are found with ALU, Load,
// Store, CondJump and so on.
var (
	Nop      Op // the deleted instruction, encoded `ja +0`
	Ja       Op
	Gotol    Op
	Exit     Op
	Call     Op // helper
	CallFunc Op
	LoadImm  Op // lddw, plain constant
)

// NumOps is one more than the largest Op.
func NumOps() int { return len(table) }

// RowOf returns the row of op.
func RowOf(op Op) *Row { return &table[op] }

// Rows returns all rows, in order.
func Rows() []Row { return table[1:] }

// ByName finds a row by its unique name; zero when there is none.
func ByName(name string) Op { return byName[name] }

func add(r Row) Op {
	r.Op = Op(len(table))
	if r.Slots == 0 {
		r.Slots = 1
	}
	if r.MinCPU == 0 {
		r.MinCPU = 1
	}
	if _, dup := byName[r.Name]; dup {
		panic("isa: duplicate row " + r.Name)
	}
	byName[r.Name] = r.Op
	table = append(table, r)
	if r.Name != "nop" {
		byCode[r.Code] = append(byCode[r.Code], r.Op)
	}
	return r.Op
}

// Opcode byte parts (include/uapi/linux/bpf.h, bpf_common.h).
const (
	clsLD, clsLDX, clsST, clsSTX   = 0, 1, 2, 3
	clsALU, clsJMP, clsJMP32       = 4, 5, 6
	clsALU64                       = 7
	srcX                           = 8
	modeIMM, modeABS, modeIND      = 0x00, 0x20, 0x40
	modeMEM, modeMEMSX, modeATOMIC = 0x60, 0x80, 0xc0
)

var sizeCode = map[uint8]uint8{8: 0x10, 16: 0x08, 32: 0x00, 64: 0x18}

type aluKey struct {
	fn    Fn
	width uint8
	bits  uint8
	imm   bool
}

type memKey struct {
	kind   Kind
	fn     Fn
	width  uint8
	signed bool // or fetch
	imm    bool
}

var (
	aluOps = map[aluKey]Op{}
	memOps = map[memKey]Op{}
	jmpOps = map[aluKey]Op{}
)

// ALU returns the row of an ALU operation; width is 32 or 64. Zero when there
// is none.
func ALU(fn Fn, width uint8, imm bool) Op { return aluOps[aluKey{fn, width, 0, imm}] }

// ALUBits returns the row of movsx, endian or bswap: bits is the inner width.
func ALUBits(fn Fn, width, bits uint8) Op { return aluOps[aluKey{fn, width, bits, false}] }

// CondJump returns the row of a comparison.
func CondJump(fn Fn, width uint8, imm bool) Op { return jmpOps[aluKey{fn, width, 0, imm}] }

// Load returns the row of a load; width in bits.
func Load(width uint8, signed bool) Op { return memOps[memKey{KindLoad, 0, width, signed, false}] }

// Store returns the row of a store of a register or an immediate.
func Store(width uint8, imm bool) Op { return memOps[memKey{KindStore, 0, width, false, imm}] }

// ReadModifyWrite: an atomic operation that combines memory with a register and
// returns nothing.
func (r *Row) ReadModifyWrite() bool {
	return r.Kind == KindAtomic && r.Store != nil && r.Result == nil && r.Fn != FnStoreRel
}

// Atomic returns the row of an atomic operation; width 32 or 64.
func Atomic(fn Fn, width uint8, fetch bool) Op {
	return memOps[memKey{KindAtomic, fn, width, fetch, false}]
}

func init() {
	aluRows()
	jumpRows()
	memoryRows()
	otherRows()
}

func aluRows() {
	type alu struct {
		fn   Fn
		name string
		code uint8
		sym  string
		off  int16
		cpu  uint8
		f    func(d, s *Expr) *Expr
	}
	bin := func(op ExprOp) func(d, s *Expr) *Expr {
		return func(d, s *Expr) *Expr { return eBin(op, d, s) }
	}
	shift := func(op ExprOp) func(d, s *Expr) *Expr {
		return func(d, s *Expr) *Expr {
			return eBin(op, d, eBin(ExprAnd, s, eConst(uint64(d.W-1), d.W)))
		}
	}
	isZero := func(s *Expr) *Expr { return eBin(ExprEq, s, eConst(0, s.W)) }
	isOnes := func(s *Expr) *Expr { return eBin(ExprEq, s, eConst(^uint64(0)>>(64-s.W), s.W)) }
	zero := func(s *Expr) *Expr { return eConst(0, s.W) }
	for _, a := range []alu{
		{FnAdd, "add", 0x00, "+=", 0, 1, bin(ExprAdd)},
		{FnSub, "sub", 0x10, "-=", 0, 1, bin(ExprSub)},
		{FnMul, "mul", 0x20, "*=", 0, 1, bin(ExprMul)},
		{FnDiv, "div", 0x30, "/=", 0, 1, func(d, s *Expr) *Expr { return eIte(isZero(s), zero(s), eBin(ExprUDiv, d, s)) }},
		{FnSDiv, "sdiv", 0x30, "s/=", 1, 4, func(d, s *Expr) *Expr {
			return eIte(isZero(s), zero(s), eIte(isOnes(s), eUn(ExprNeg, d), eBin(ExprSDiv, d, s)))
		}},
		{FnOr, "or", 0x40, "|=", 0, 1, bin(ExprOr)},
		{FnAnd, "and", 0x50, "&=", 0, 1, bin(ExprAnd)},
		{FnLsh, "lsh", 0x60, "<<=", 0, 1, shift(ExprShl)},
		{FnRsh, "rsh", 0x70, ">>=", 0, 1, shift(ExprLShr)},
		{FnMod, "mod", 0x90, "%=", 0, 1, func(d, s *Expr) *Expr { return eIte(isZero(s), d, eBin(ExprURem, d, s)) }},
		{FnSMod, "smod", 0x90, "s%=", 1, 4, func(d, s *Expr) *Expr {
			return eIte(isZero(s), d, eIte(isOnes(s), zero(s), eBin(ExprSRem, d, s)))
		}},
		{FnXor, "xor", 0xa0, "^=", 0, 1, bin(ExprXor)},
		{FnMov, "mov", 0xb0, "=", 0, 1, func(_, s *Expr) *Expr { return s }},
		{FnArsh, "arsh", 0xc0, "s>>=", 0, 1, shift(ExprAShr)},
	} {
		for _, w := range []uint8{64, 32} {
			for _, imm := range []bool{true, false} {
				d, s := eDst, eImm
				r := Row{Name: fmt.Sprintf("%s%d", a.name, w), Code: a.code | clsALU64, Kind: KindALU, Fn: a.fn, Width: w, Imm: imm,
					OffIs: a.off, HasOff: a.fn == FnDiv || a.fn == FnMod || a.fn == FnSDiv || a.fn == FnSMod || (a.fn == FnMov && !imm),
					MinCPU: a.cpu, ReadsDst: a.fn != FnMov, ReadsSrc: !imm}
				dst, src := "{d}", "{i}"
				if w == 32 {
					r.Code = a.code | clsALU
					dst = "{dw}"
					r.MinCPU = max(r.MinCPU, 3)
				}
				if !imm {
					r.Code |= srcX
					r.Name += "r"
					s = eSrc
					src = "{s}"
					if w == 32 {
						src = "{sw}"
					}
				}
				r.Syntax = dst + " " + a.sym + " " + src
				r.Result = eZext(a.f(eLow(d, w), eLow(s, w)), 64)
				aluOps[aluKey{a.fn, w, 0, imm}] = add(r)
			}
		}
	}
	for _, w := range []uint8{64, 32} {
		d, code, cpu := "{d}", uint8(clsALU64), uint8(1)
		if w == 32 {
			d, code, cpu = "{dw}", clsALU, 3
		}
		aluOps[aluKey{FnNeg, w, 0, true}] = add(Row{Name: fmt.Sprintf("neg%d", w), Syntax: d + " = -" + d, Code: 0x80 | code,
			Kind: KindALU, Fn: FnNeg, Width: w, Imm: true, ReadsDst: true, MinCPU: cpu,
			Result: eZext(eUn(ExprNeg, eLow(eDst, w)), 64)})
		for _, b := range []uint8{8, 16, 32} {
			if b >= w {
				continue
			}
			s := "{s}"
			if w == 32 {
				s = "{sw}"
			}
			aluOps[aluKey{FnMovSX, w, b, false}] = add(Row{Name: fmt.Sprintf("movsx%d_%d", w, b),
				Syntax: fmt.Sprintf("%s = (s%d)%s", d, b, s), Code: 0xb0 | srcX | code, OffIs: int16(b), HasOff: true,
				Kind: KindALU, Fn: FnMovSX, Width: w, Bits: b, ReadsSrc: true, MinCPU: 4,
				Result: eZext(eSext(eLow(eSrc, b), w), 64)})
		}
	}
	for _, b := range []uint8{16, 32, 64} {
		swap := eZext(eUn(ExprBSwap, eLow(eDst, b)), 64)
		for _, e := range []struct {
			fn   Fn
			name string
			code uint8
			cpu  uint8
			res  *Expr
		}{
			{FnToLE, "le", 0xd0 | clsALU, 1, eZext(eLow(eDst, b), 64)}, // a little-endian host keeps the low bits
			{FnToBE, "be", 0xd0 | clsALU | srcX, 1, swap},
			{FnBSwap, "bswap", 0xd0 | clsALU64, 4, swap},
		} {
			aluOps[aluKey{e.fn, 64, b, false}] = add(Row{Name: fmt.Sprintf("%s%d", e.name, b),
				Syntax: fmt.Sprintf("{d} = %s%d {d}", e.name, b), Code: e.code, ImmIs: int32(b), HasImm: true,
				Kind: KindALU, Fn: e.fn, Width: 64, Bits: b, ReadsDst: true, MinCPU: e.cpu, Result: e.res})
		}
	}
}

func jumpRows() {
	type cmp struct {
		fn   Fn
		name string
		code uint8
		sym  string
		cpu  uint8
		f    func(d, s *Expr) *Expr
	}
	op := func(o ExprOp) func(d, s *Expr) *Expr {
		return func(d, s *Expr) *Expr { return eBin(o, d, s) }
	}
	rev := func(o ExprOp) func(d, s *Expr) *Expr {
		return func(d, s *Expr) *Expr { return eBin(o, s, d) }
	}
	for _, c := range []cmp{
		{FnJeq, "jeq", 0x10, "==", 1, op(ExprEq)},
		{FnJgt, "jgt", 0x20, ">", 1, rev(ExprUlt)},
		{FnJge, "jge", 0x30, ">=", 1, rev(ExprUle)},
		{FnJset, "jset", 0x40, "&", 1, func(d, s *Expr) *Expr {
			return eUn(ExprNot, eBin(ExprEq, eBin(ExprAnd, d, s), eConst(0, d.W)))
		}},
		{FnJne, "jne", 0x50, "!=", 1, func(d, s *Expr) *Expr { return eUn(ExprNot, eBin(ExprEq, d, s)) }},
		{FnJsgt, "jsgt", 0x60, "s>", 1, rev(ExprSlt)},
		{FnJsge, "jsge", 0x70, "s>=", 1, rev(ExprSle)},
		{FnJlt, "jlt", 0xa0, "<", 2, op(ExprUlt)},
		{FnJle, "jle", 0xb0, "<=", 2, op(ExprUle)},
		{FnJslt, "jslt", 0xc0, "s<", 2, op(ExprSlt)},
		{FnJsle, "jsle", 0xd0, "s<=", 2, op(ExprSle)},
	} {
		for _, w := range []uint8{64, 32} {
			for _, imm := range []bool{true, false} {
				r := Row{Name: fmt.Sprintf("%s%d", c.name, w), Code: c.code | clsJMP, Kind: KindCondJump, Fn: c.fn, Width: w, Imm: imm, MinCPU: c.cpu}
				d, s, src := "{d}", eImm, "{i}"
				if w == 32 {
					r.Code, d, r.MinCPU = c.code|clsJMP32, "{dw}", 3
				}
				if !imm {
					r.Code |= srcX
					r.Name += "r"
					s, src = eSrc, "{s}"
					if w == 32 {
						src = "{sw}"
					}
				}
				r.Syntax = "if " + d + " " + c.sym + " " + src + " goto {t}"
				r.Cond = c.f(eLow(eDst, w), eLow(s, w))
				jmpOps[aluKey{c.fn, w, 0, imm}] = add(r)
			}
		}
	}
	Ja = add(Row{Name: "ja", Syntax: "goto {t}", Code: clsJMP, Kind: KindJump, Width: 16})
	Nop = add(Row{Name: "nop", Syntax: "nop", Code: clsJMP, Kind: KindNop})
	Gotol = add(Row{Name: "gotol", Syntax: "gotol {t}", Code: clsJMP32, Kind: KindJump, Width: 32, MinCPU: 4})
	add(Row{Name: "may_goto", Syntax: "may_goto {t}", Code: 0xe0 | clsJMP, Kind: KindMayGoto, MinCPU: 4})
	Call = add(Row{Name: "call", Syntax: "call {i}", Code: 0x80 | clsJMP, SrcIs: 0, HasSrc: true, Kind: KindCallHelper})
	CallFunc = add(Row{Name: "callfunc", Syntax: "call func {i}", Code: 0x80 | clsJMP, SrcIs: 1, HasSrc: true, Kind: KindCallFunc})
	add(Row{Name: "callkfunc", Syntax: "call kfunc {i} {o}", Code: 0x80 | clsJMP, SrcIs: 2, HasSrc: true, Kind: KindCallKfunc})
	add(Row{Name: "callx", Syntax: "callx {d}", Code: 0x80 | clsJMP | srcX, Kind: KindCallReg})
	Exit = add(Row{Name: "exit", Syntax: "exit", Code: 0x90 | clsJMP, Kind: KindExit})
}

func memoryRows() {
	for _, w := range []uint8{8, 16, 32, 64} {
		at := fmt.Sprintf("*(u%d *)({s} {o})", w)
		memOps[memKey{KindLoad, 0, w, false, false}] = add(Row{Name: fmt.Sprintf("ldx%d", w), Syntax: "{d} = " + at,
			Code: clsLDX | modeMEM | sizeCode[w], Kind: KindLoad, Width: w, Result: eZext(eMem(w), 64)})
		if w < 64 {
			memOps[memKey{KindLoad, 0, w, true, false}] = add(Row{Name: fmt.Sprintf("ldsx%d", w),
				Syntax: fmt.Sprintf("{d} = *(s%d *)({s} {o})", w),
				Code:   clsLDX | modeMEMSX | sizeCode[w], Kind: KindLoad, Width: w, Signed: true, MinCPU: 4, Result: eSext(eMem(w), 64)})
		}
		to := fmt.Sprintf("*(u%d *)({d} {o})", w)
		memOps[memKey{KindStore, 0, w, false, true}] = add(Row{Name: fmt.Sprintf("st%d", w), Syntax: to + " = {i}",
			Code: clsST | modeMEM | sizeCode[w], Kind: KindStore, Width: w, Imm: true, Store: eLow(eImm, w)})
		memOps[memKey{KindStore, 0, w, false, false}] = add(Row{Name: fmt.Sprintf("stx%d", w), Syntax: to + " = {s}",
			Code: clsSTX | modeMEM | sizeCode[w], Kind: KindStore, Width: w, Store: eLow(eSrc, w)})
	}
	for _, w := range []uint8{32, 64} {
		m, s := eMem(w), eLow(eSrc, w)
		t := fmt.Sprintf("(u%d *)({d} {o})", w)
		reg, r0, cpu := "{s}", "r0", uint8(1)
		if w == 32 {
			reg, r0 = "{sw}", "w0"
		}
		row := func(fn Fn, name, syntax string, imm int32, fetch bool, cpu uint8, store, result *Expr) {
			memOps[memKey{KindAtomic, fn, w, fetch, false}] = add(Row{Name: fmt.Sprintf("%s%d", name, w), Syntax: syntax,
				Code: clsSTX | modeATOMIC | sizeCode[w], ImmIs: imm, HasImm: true, Kind: KindAtomic, Fn: fn, Width: w,
				Fetch: fetch, MinCPU: cpu, Store: store, Result: result})
		}
		for _, a := range []struct {
			fn   Fn
			name string
			imm  int32
			sym  string
			op   ExprOp
		}{{FnAdd, "add", 0x00, "+=", ExprAdd}, {FnOr, "or", 0x40, "|=", ExprOr}, {FnAnd, "and", 0x50, "&=", ExprAnd}, {FnXor, "xor", 0xa0, "^=", ExprXor}} {
			v := eBin(a.op, m, s)
			c := cpu
			if a.fn != FnAdd {
				c = 3
			}
			row(a.fn, "lock_"+a.name, "lock *"+t+" "+a.sym+" "+reg, a.imm, false, c, v, nil)
			row(a.fn, "fetch_"+a.name, reg+" = atomic_fetch_"+a.name+"("+t+", "+reg+")", a.imm|1, true, 3, v, eZext(m, 64))
		}
		row(FnXchg, "xchg", reg+" = xchg("+t+", "+reg+")", 0xe1, true, 3, s, eZext(m, 64))
		row(FnCmpXchg, "cmpxchg", r0+" = cmpxchg("+t+", "+r0+", "+reg+")", 0xf1, true, 3,
			eIte(eBin(ExprEq, m, eLow(eR0, w)), s, m), eZext(m, 64))
	}
	for _, w := range []uint8{8, 16, 32, 64} {
		memOps[memKey{KindAtomic, FnLoadAcq, w, false, false}] = add(Row{Name: fmt.Sprintf("load_acquire%d", w),
			Syntax: fmt.Sprintf("{d} = load_acquire((u%d *)({s} {o}))", w), Code: clsSTX | modeATOMIC | sizeCode[w],
			ImmIs: 0x100, HasImm: true, Kind: KindAtomic, Fn: FnLoadAcq, Width: w, MinCPU: 4, Result: eZext(eMem(w), 64)})
		memOps[memKey{KindAtomic, FnStoreRel, w, false, false}] = add(Row{Name: fmt.Sprintf("store_release%d", w),
			Syntax: fmt.Sprintf("store_release((u%d *)({d} {o}), {s})", w), Code: clsSTX | modeATOMIC | sizeCode[w],
			ImmIs: 0x110, HasImm: true, Kind: KindAtomic, Fn: FnStoreRel, Width: w, MinCPU: 4, Store: eLow(eSrc, w)})
	}
}

func otherRows() {
	for i, f := range []string{"{d} = {i} ll", "{d} = map_fd {i} ll", "{d} = map_value {i} ll", "{d} = btf_id {i} ll",
		"{d} = func {i} ll", "{d} = map_idx {i} ll", "{d} = map_idx_value {i} ll"} {
		r := Row{Name: [...]string{"lddw", "lddw_map_fd", "lddw_map_value", "lddw_btf_id", "lddw_func", "lddw_map_idx", "lddw_map_idx_value"}[i],
			Syntax: f, Code: 0x18, SrcIs: uint8(i), HasSrc: true, Kind: KindLoadImm, Width: 64, Imm: true, Form: LoadImmForm(i), Slots: 2}
		if i == 0 {
			r.Result = eImm
		}
		op := add(r)
		if i == 0 {
			LoadImm = op
		}
	}
	for _, w := range []uint8{8, 16, 32} {
		add(Row{Name: fmt.Sprintf("ldabs%d", w), Syntax: fmt.Sprintf("r0 = *(u%d *)skb[{i}]", w), Code: clsLD | modeABS | sizeCode[w],
			Kind: KindLoadPacket, Width: w, Imm: true})
		add(Row{Name: fmt.Sprintf("ldind%d", w), Syntax: fmt.Sprintf("r0 = *(u%d *)skb[{s} + {i}]", w), Code: clsLD | modeIND | sizeCode[w],
			Kind: KindLoadPacket, Width: w})
	}
	// Moves whose meaning is an address translation; opaque to proofs.
	add(Row{Name: "addr_space_cast", Syntax: "{d} = addr_space_cast({s}, {i})", Code: 0xb0 | clsALU64 | srcX, OffIs: 1, HasOff: true,
		Kind: KindAddrCast, Width: 64, MinCPU: 4})
	add(Row{Name: "mov_percpu", Syntax: "{d} = percpu({s})", Code: 0xb0 | clsALU64 | srcX, OffIs: -1, HasOff: true,
		Kind: KindAddrCast, Width: 64, MinCPU: 4})
}
