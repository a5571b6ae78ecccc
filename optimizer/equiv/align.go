package equiv

import (
	"slices"

	"github.com/superbpf/superbpf/optimizer/prog"
)

// maxEdits bounds the instructions removed and added for which align looks for
// what stayed.
const maxEdits = 1000

// align finds instructions of q that are those of p, in order: as many as there
// are (Myers, "An O(ND) Difference Algorithm", 1986). It gives the partner of
// each instruction of p, -1 for none; false if too much was changed.
func align(p, q *prog.Func) ([]int, bool) {
	same := func(i, j int) bool {
		x, y := &p.Insns[i], &q.Insns[j]
		return sameInsn(x, y) && (x.Origin == y.Origin || x.Origin < 0 || y.Origin < 0)
	}
	n, m := len(p.Insns), len(q.Insns)
	mate := make([]int, n)
	for i := range mate {
		mate[i] = -1
	}
	var rows [][]int // the furthest points after d edits, by diagonal
	far := make([]int, 2*maxEdits+3)
	mid := maxEdits + 1
	for d := 0; d <= maxEdits; d++ {
		for k := -d; k <= d; k += 2 {
			x := 0
			switch {
			case d == 0:
			case k == -d || k != d && far[mid+k-1] < far[mid+k+1]:
				x = far[mid+k+1]
			default:
				x = far[mid+k-1] + 1
			}
			for x < n && x-k < m && x-k >= 0 && same(x, x-k) {
				x++
			}
			far[mid+k] = x
			if x != n || x-k != m {
				continue
			}
			// Back along the way that was found.
			for ; d >= 0; d-- {
				if d == 0 {
					for x--; x >= 0; x-- {
						mate[x] = x - k
					}
					break
				}
				row := rows[d-1]
				at := func(k int) int { return row[k+d-1] }
				px, pk := 0, k-1
				if k == -d || k != d && at(k-1) < at(k+1) {
					px, pk = at(k+1), k+1
				} else {
					px = at(k-1) + 1
				}
				for x > px {
					x--
					mate[x] = x - k
				}
				x, k = at(pk), pk
			}
			return mate, true
		}
		rows = append(rows, slices.Clone(far[mid-d:mid+d+1]))
	}
	return nil, false
}
