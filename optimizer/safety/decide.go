package safety

import (
	"fmt"

	"github.com/superbpf/superbpf/optimizer/absint"
	"github.com/superbpf/superbpf/optimizer/isa"
	"github.com/superbpf/superbpf/optimizer/prog"
)

// maxOffset bounds what may be added to a pointer (BPF_MAX_VAR_OFF).
const maxOffset = 1 << 29

// holds decides an obligation in a state; the text says why it is violated,
// empty when it is not, or not known to be.
func (o *Obligation) holds(f *prog.Func, s *absint.State) string {
	v := s.Reg(o.Reg)
	switch o.Kind {
	case Holds:
		if v.Kind == absint.Uninit {
			return fmt.Sprintf("r%d holds nothing", o.Reg)
		}
	case Writable:
		return "the frame pointer is read only"
	case Accessible:
		return o.accessible(f, s, v)
	case Stored:
		if s.Reg(o.At).Kind == absint.Stack && v.Kind.IsPointer() && o.Size != 8 {
			return "part of a pointer is stored in the frame"
		}
	case Computes:
		return o.computes(s)
	case Defined:
		return o.defined()
	case Argument:
		return o.argument(f, s, v)
	case Returns:
		return returns(f, v)
	}
	return ""
}

// defined: constants that the kernel refuses in any state.
func (o *Obligation) defined() string {
	row := o.Insn.Row()
	if !row.Imm || o.Insn.Frozen() {
		return ""
	}
	switch row.Fn {
	case isa.FnDiv, isa.FnMod, isa.FnSDiv, isa.FnSMod:
		if o.Insn.Imm == 0 {
			return "division by zero"
		}
	case isa.FnLsh, isa.FnRsh, isa.FnArsh:
		if o.Insn.Imm < 0 || o.Insn.Imm >= int64(row.Width) {
			return "a shift by the width or more"
		}
	}
	return ""
}

// computes: adjust_reg_min_max_vals and adjust_ptr_min_max_vals.
func (o *Obligation) computes(s *absint.State) string {
	in := o.Insn
	row := in.Row()
	switch row.Fn {
	case isa.FnMov, isa.FnNeg:
		return ""
	}
	if !row.ReadsDst || !row.Imm && !row.ReadsSrc {
		return "" // byte swaps
	}
	d := s.Reg(in.Dst)
	off := absint.Value{Kind: absint.Scalar, Num: absint.Const(uint64(in.Imm), 64)}
	if !row.Imm {
		off = s.Reg(in.Src)
	} else if in.Frozen() {
		return ""
	}
	if d.Kind == absint.Unknown || off.Kind == absint.Unknown {
		return ""
	}
	ptr, swapped := d, false
	switch {
	case d.Kind.IsPointer() && off.Kind.IsPointer():
		if row.Fn == isa.FnSub {
			return ""
		}
		return "arithmetic on two pointers"
	case off.Kind.IsPointer():
		ptr, off, swapped = off, d, true
	case !d.Kind.IsPointer():
		return ""
	}
	if row.Width != 64 {
		if row.Fn == isa.FnSub {
			return ""
		}
		return "32-bit arithmetic on a pointer"
	}
	switch ptr.Kind {
	case absint.MapValueOrNull:
		return "arithmetic on a pointer that may be NULL"
	case absint.MapPtr, absint.PacketEnd:
		if k, ok := off.Num.IsConst(); !ok || k != 0 || row.Fn != isa.FnAdd {
			return "arithmetic on a " + ptr.Kind.String()
		}
	}
	if row.Fn != isa.FnAdd && row.Fn != isa.FnSub {
		return "neither a sum nor a difference of a pointer"
	}
	if row.Fn == isa.FnSub && swapped {
		return "a pointer subtracted from a number"
	}
	if row.Fn == isa.FnSub && ptr.Kind == absint.Stack {
		return "subtraction from a frame pointer"
	}
	if off.Num.SMin <= -maxOffset || off.Num.SMin >= maxOffset {
		return "an unbounded number added to a pointer"
	}
	return ""
}

// Results that types allow (check_return_code), inclusive.
var results = map[prog.Type][2]int64{prog.TypeCgroupSock: {0, 1}, prog.TypeCgroupDevice: {0, 1}, prog.TypeCgroupSysctl: {0, 1},
	prog.TypeCgroupSockopt: {0, 1}, prog.TypeSockOps: {0, 1}, prog.TypeSKLookup: {0, 1}, prog.TypeNetfilter: {0, 1}}

func returns(f *prog.Func, v absint.Value) string {
	r, ranged := results[f.Type]
	switch {
	case !f.Entry:
		if v.Kind == absint.Stack {
			return "a pointer into the frame is returned"
		}
	case !ranged || v.Kind == absint.Unknown:
	case v.Kind != absint.Scalar:
		return "the result is a pointer"
	case v.Num.SMin < r[0] || v.Num.SMax > r[1]:
		return "the result is outside what the type allows"
	}
	return ""
}
