package environ

import (
	"math/bits"
	"slices"

	"github.com/superbpf/superbpf/optimizer/isa"
)

// cell is the bytes written in one aligned word outside the frame.
type cell struct {
	at   uint64 // address / 8
	val  uint64
	mask uint64 // ones in the bytes written
}

// memory is what a run wrote; all other bytes are the World's.
type memory struct {
	w     *World
	epoch uint64 // what the bytes not written are, outside the frame
	cells []cell
	index map[uint64]int // of cells, once there are many

	// The frame, and below it that of a function that was entered.
	frame   [2 * isa.StackSize]byte
	written [2 * isa.StackSize / 64]uint64 // bytes of the frames, one bit each
}

// few is how many cells are looked through one by one.
const few = 12

const frameLow = frameTop - 2*isa.StackSize

func inFrame(a uint64) bool { return a >= frameLow && a < frameTop }

func (m *memory) reset(w *World) {
	m.w, m.epoch, m.index = w, 0, nil
	m.cells = m.cells[:0]
	clear(m.written[:])
}

// leave forgets the frame of a function that was entered.
func (m *memory) leave() { clear(m.written[:isa.StackSize/64]) }

func (m *memory) find(word uint64) int {
	if m.index != nil {
		if i, ok := m.index[word]; ok {
			return i
		}
		return -1
	}
	for i := range m.cells {
		if m.cells[i].at == word {
			return i
		}
	}
	return -1
}

// word is the aligned word with that number, outside the frame.
func (m *memory) word(n uint64) uint64 {
	if i := m.find(n); i >= 0 {
		c := &m.cells[i]
		if c.mask == ^uint64(0) {
			return c.val
		}
		return m.w.initial(n, m.epoch)&^c.mask | c.val
	}
	return m.w.initial(n, m.epoch)
}

func (m *memory) byteAt(a uint64) byte {
	if inFrame(a) {
		i := a - frameLow
		if m.written[i/64]>>(i%64)&1 == 1 {
			return m.frame[i]
		}
		return byte(m.w.initial(a>>3, 0) >> (8 * (a & 7)))
	}
	return byte(m.word(a>>3) >> (8 * (a & 7)))
}

// load reads n bytes, at most 8.
func (m *memory) load(a uint64, n int) uint64 {
	if a&7+uint64(n) <= 8 && !inFrame(a) {
		return low(m.word(a>>3)>>(8*(a&7)), uint8(8*n))
	}
	var v uint64
	for i := n - 1; i >= 0; i-- {
		v = v<<8 | uint64(m.byteAt(a+uint64(i)))
	}
	return v
}

func (m *memory) setByte(a uint64, b byte) {
	if inFrame(a) {
		i := a - frameLow
		m.frame[i] = b
		m.written[i/64] |= 1 << (i % 64)
		return
	}
	m.put(a>>3, uint64(b)<<(8*(a&7)), 0xff<<(8*(a&7)))
}

func (m *memory) put(word, v, mask uint64) {
	i := m.find(word)
	if i < 0 {
		i = len(m.cells)
		m.cells = append(m.cells, cell{at: word})
		if m.index != nil {
			m.index[word] = i
		} else if len(m.cells) > few {
			m.index = make(map[uint64]int, 4*few)
			for k := range m.cells {
				m.index[m.cells[k].at] = k
			}
		}
	}
	c := &m.cells[i]
	c.val = c.val&^mask | v&mask
	c.mask |= mask
}

// store writes n bytes, at most 8.
func (m *memory) store(a, v uint64, n int) {
	if a&7+uint64(n) <= 8 && !inFrame(a) {
		m.put(a>>3, v<<(8*(a&7)), low(^uint64(0), uint8(8*n))<<(8*(a&7)))
		return
	}
	for i := range n {
		m.setByte(a+uint64(i), byte(v>>(8*i)))
	}
}

// renew makes all memory outside the frame something else.
func (m *memory) renew(epoch uint64) { m.cells, m.index, m.epoch = m.cells[:0], nil, epoch }

// initialized reports whether n bytes at a were written, where they are of the
// frame.
func (m *memory) initialized(a uint64, n int) bool {
	for i := range uint64(n) {
		if x := a + i; inFrame(x) && m.written[(x-frameLow)/64]>>((x-frameLow)%64)&1 == 0 {
			return false
		}
	}
	return true
}

// changes lists the words outside the frame that are not what they were.
func (m *memory) changes() []cell {
	var out []cell
	for _, c := range m.cells {
		was := m.w.initial(c.at, m.epoch)
		differ := (was ^ c.val) & c.mask
		if differ == 0 {
			continue
		}
		// Whole bytes.
		mask := uint64(0)
		for differ != 0 {
			b := uint64(0xff) << (bits.TrailingZeros64(differ) &^ 7)
			mask |= b
			differ &^= b
		}
		out = append(out, cell{c.at, c.val & mask, mask})
	}
	slices.SortFunc(out, func(a, b cell) int {
		if a.at < b.at {
			return -1
		}
		return 1
	})
	return out
}

// digest sums up the changes, in any order.
func (m *memory) digest() uint64 {
	var d uint64
	for _, c := range m.cells {
		differ := (m.w.initial(c.at, m.epoch) ^ c.val) & c.mask
		for differ != 0 {
			k := uint64(bits.TrailingZeros64(differ) &^ 7)
			differ &^= 0xff << k
			d ^= mix(c.at<<3+k/8, c.val>>k&0xff+1)
		}
	}
	return d
}
