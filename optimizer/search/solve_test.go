package search

import (
	"math/rand/v2"
	"testing"

	"github.com/superbpf/superbpf/optimizer/isa"
	"github.com/superbpf/superbpf/optimizer/slice"
)

// What one operation makes of two values is found, in a bank whose memory was
// used before, too.
func TestJoinsAreFound(t *testing.T) {
	e := Enumerator{MCPU: 3}
	e.banks = map[string]*bank{}
	shared := e.bank(make([]slice.Fact, 2), 2)
	r := rand.New(rand.NewPCG(1, 2))
	for _, own := range [][]int64{{0x1234, 77}, {9}, nil} {
		b := &e.own
		b.extend(shared, own, nil, 2, e.MCPU, 2)
		for range 200 {
			i, j := r.Int32N(b.len()), r.Int32N(b.len())
			v, w := b.val(i), b.val(j)
			if b.at(i).op == 0 || b.at(j).op == 0 {
				continue
			}
			fn := []isa.Fn{isa.FnAdd, isa.FnXor, isa.FnSub}[r.IntN(3)]
			var goal vector
			for k := range goal {
				for l := range goal[k] {
					switch fn {
					case isa.FnAdd:
						goal[k][l] = v[k][l] + w[k][l]
					case isa.FnXor:
						goal[k][l] = v[k][l] ^ w[k][l]
					default:
						goal[k][l] = v[k][l] - w[k][l]
					}
				}
			}
			s := &solver{bank: b, inputs: 2, mcpu: e.MCPU, limit: 9}
			s.join(&goal, ^uint64(0), nil)
			if len(s.found) == 0 {
				t.Errorf("own immediates %v: %v of values %d and %d is not found", own, fn, i, j)
			}
		}
	}
}
