package isa

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// Raw is the encoded form of an instruction: struct bpf_insn, with the upper
// half of an lddw in Next.
type Raw struct {
	Code     uint8
	Dst, Src uint8
	Off      int16
	Imm      int32
	Next     int32
}

// Errors of Decode; the returned error wraps one of them.
var (
	ErrTruncated = errors.New("truncated instruction stream")
	ErrUnknown   = errors.New("unknown opcode")
	ErrReserved  = errors.New("reserved field is not zero")
	ErrRegister  = errors.New("register out of range")
)

// ReadRaw splits one instruction off b, in the given byte order, and returns
// how many bytes it takes (8, or 16 for lddw).
func ReadRaw(b []byte, bo binary.ByteOrder) (Raw, int, error) {
	if len(b) < 8 {
		return Raw{}, 0, ErrTruncated
	}
	r := Raw{Code: b[0], Off: int16(bo.Uint16(b[2:])), Imm: int32(bo.Uint32(b[4:]))}
	if bo == binary.ByteOrder(binary.BigEndian) {
		r.Dst, r.Src = b[1]>>4, b[1]&15
	} else {
		r.Dst, r.Src = b[1]&15, b[1]>>4
	}
	if r.Code != 0x18 {
		return r, 8, nil
	}
	if len(b) < 16 {
		return Raw{}, 0, ErrTruncated
	}
	if b[8] != 0 || b[9] != 0 || b[10] != 0 || b[11] != 0 {
		return Raw{}, 0, fmt.Errorf("second slot of lddw: %w", ErrReserved)
	}
	r.Next = int32(bo.Uint32(b[12:]))
	return r, 16, nil
}

// Append encodes r at the end of b.
func (r Raw) Append(b []byte, bo binary.ByteOrder) []byte {
	var w [16]byte
	w[0] = r.Code
	w[1] = r.Dst | r.Src<<4
	if bo == binary.ByteOrder(binary.BigEndian) {
		w[1] = r.Dst<<4 | r.Src
	}
	bo.PutUint16(w[2:], uint16(r.Off))
	bo.PutUint32(w[4:], uint32(r.Imm))
	if r.Code != 0x18 {
		return append(b, w[:8]...)
	}
	bo.PutUint32(w[12:], uint32(r.Next))
	return append(b, w[:16]...)
}

// Decode gives the normal form of r. Jump distances (in slots) come back as
// the second result; Insn.Off and Imm are then zero.
func Decode(r Raw) (Insn, int, error) {
	if r.Dst >= NumRegs || r.Src >= NumRegs {
		return Insn{}, 0, fmt.Errorf("opcode %#02x, registers %d and %d: %w", r.Code, r.Dst, r.Src, ErrRegister)
	}
	if r.Code == clsJMP && r.Off == 0 && r.Imm == 0 && r.Dst == 0 && r.Src == 0 {
		return Insn{Op: Nop}, 0, nil
	}
	for _, op := range byCode[r.Code] {
		row := &table[op]
		if row.HasSrc && row.SrcIs != r.Src || row.HasOff && row.OffIs != r.Off || row.HasImm && row.ImmIs != r.Imm {
			continue
		}
		i := Insn{Op: op, Dst: Reg(r.Dst), Src: Reg(r.Src), Off: r.Off, Imm: int64(r.Imm)}
		if row.HasSrc {
			i.Src = 0
		}
		if row.HasOff {
			i.Off = 0
		}
		if row.HasImm {
			i.Imm = 0
		}
		dist := 0
		switch row.Kind {
		case KindLoadImm:
			i.Imm = int64(uint64(uint32(r.Imm)) | uint64(uint32(r.Next))<<32)
		case KindCondJump, KindMayGoto:
			dist, i.Off = int(r.Off), 0
		case KindJump:
			if op == Gotol {
				dist, i.Imm = int(r.Imm), 0
			} else {
				dist, i.Off = int(r.Off), 0
			}
		case KindCallFunc:
			dist = int(r.Imm)
		}
		if err := row.checkReserved(i); err != nil {
			return Insn{}, 0, err
		}
		return i, dist, nil
	}
	return Insn{}, 0, fmt.Errorf("opcode %#02x (src %d, off %d, imm %d): %w", r.Code, r.Src, r.Off, r.Imm, ErrUnknown)
}

// Encode is the inverse of Decode; dist is the jump distance in slots.
func Encode(i Insn, dist int) (Raw, error) {
	row := i.Row()
	if row.Kind == KindInvalid {
		return Raw{}, ErrUnknown
	}
	r := Raw{Code: row.Code, Dst: uint8(i.Dst), Src: uint8(i.Src), Off: i.Off, Imm: int32(i.Imm)}
	if row.Kind == KindLoadImm {
		r.Next = int32(uint64(i.Imm) >> 32)
	} else if int64(r.Imm) != i.Imm {
		return Raw{}, fmt.Errorf("%s: immediate %d does not fit 32 bits", row.Name, i.Imm)
	}
	if row.HasSrc {
		r.Src = row.SrcIs
	}
	if row.HasOff {
		r.Off = row.OffIs
	}
	if row.HasImm {
		r.Imm = row.ImmIs
	}
	switch row.Kind {
	case KindCondJump, KindMayGoto, KindJump:
		if i.Op == Gotol {
			r.Imm = int32(dist)
		} else {
			if dist < -1<<15 || dist >= 1<<15 {
				return Raw{}, fmt.Errorf("%s: distance %d does not fit 16 bits", row.Name, dist)
			}
			r.Off = int16(dist)
		}
	case KindCallFunc:
		r.Imm = int32(dist)
	}
	return r, nil
}

// usesSrc, usesOff, usesImm: which fields the row gives a meaning to.
func (r *Row) usesSrc() bool {
	switch r.Kind {
	case KindALU, KindAddrCast:
		return r.ReadsSrc || r.Kind == KindAddrCast
	case KindStore, KindCondJump:
		return !r.Imm
	case KindLoad, KindAtomic:
		return true
	case KindLoadPacket:
		return !r.Imm
	}
	return false
}

func (r *Row) usesDst() bool {
	switch r.Kind {
	case KindALU, KindAddrCast, KindLoadImm, KindLoad, KindStore, KindAtomic, KindCondJump, KindCallReg:
		return true
	}
	return false
}

func (r *Row) usesOff() bool {
	switch r.Kind {
	case KindLoad, KindStore, KindAtomic:
		return true
	case KindCallKfunc:
		return true // the module's BTF
	}
	return false
}

func (r *Row) usesImm() bool {
	switch r.Kind {
	case KindALU:
		return r.Imm && r.Fn != FnNeg
	case KindStore, KindCondJump:
		return r.Imm
	case KindLoadImm, KindCallHelper, KindCallFunc, KindCallKfunc, KindLoadPacket:
		return true
	case KindAddrCast:
		return r.OffIs == 1
	}
	return false
}

func (r *Row) checkReserved(i Insn) error {
	if !r.usesSrc() && i.Src != 0 || !r.usesDst() && i.Dst != 0 || !r.usesOff() && i.Off != 0 || !r.usesImm() && i.Imm != 0 {
		return fmt.Errorf("%s (dst %d, src %d, off %d, imm %d): %w", r.Name, i.Dst, i.Src, i.Off, i.Imm, ErrReserved)
	}
	return nil
}
