package interp

import (
	"math/rand/v2"
	"testing"

	"github.com/superbpf/superbpf/optimizer/isa"
)

// Each lane holds what the machine computes of the lane's operands.
func TestLockstepAgreesWithTheMachine(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 5))
	corners := []uint64{0, 1, 0x7f, 0x80, 0xff, 0x8000, 0xffff, 0x7fffffff, 0x80000000, 0xffffffff, 1 << 32, 1 << 63, ^uint64(0)}
	value := func() uint64 {
		if r.IntN(2) == 0 {
			return corners[r.IntN(len(corners))]
		}
		return r.Uint64() >> r.IntN(64)
	}
	rows := 0
	for _, row := range isa.Rows() {
		if row.Kind != isa.KindALU && row.Kind != isa.KindCondJump && row.Op != isa.LoadImm {
			continue
		}
		rows++
		for range 20 {
			var d, s, out Lanes
			for i := range d {
				d[i], s[i] = value(), value()
			}
			imm := uint64(int64(int32(value())))
			if !Lockstep(row.Op, imm, &d, &s, &out) {
				t.Fatalf("%s is missing", row.Name)
			}
			for i := range d {
				x := cpu{steps: 2}
				x.r[1], x.r[2] = d[i], s[i]
				code := []inst{{op: uint16(row.Op), dst: 1, src: 2, imm: imm, target: 2}, {}, {}}
				pc, _ := x.exec(code, 0)
				want := x.r[1]
				if row.Kind == isa.KindCondJump {
					want = b2u(pc == 2)
				}
				if out[i] != want {
					t.Fatalf("%s of %#x, %#x, %#x: %#x in lockstep, %#x on the machine", row.Name, d[i], s[i], imm, out[i], want)
				}
			}
		}
	}
	if rows < 80 {
		t.Errorf("only %d rows", rows)
	}
	if Lockstep(isa.Exit, 0, new(Lanes), new(Lanes), new(Lanes)) {
		t.Error("an exit is no operation")
	}
}
