package traffic

import (
	_ "embed"
	"math/rand/v2"

	"github.com/superbpf/superbpf/traffic/profile"
)

//go:embed default.yaml
var defaultYAML []byte

// DefaultProfile is the mix for programs that bring no traffic of their own; see
// default.yaml for its addresses.
func DefaultProfile() (*profile.Profile, error) { return profile.Parse(defaultYAML) }

// Default makes n packets for differential tests: two thirds are the default
// profile's, the others start from it and are cut and changed, or are made at
// random.
func Default(seed uint64, n int) ([][]byte, error) {
	p, err := DefaultProfile()
	if err != nil {
		return nil, err
	}
	return Mixed(p, seed, n, nil)
}

// Mixed makes n packets around a profile: two thirds its own, the others from a
// Fuzzer with the profile's packets as corpus and dict as its dictionary.
func Mixed(p *profile.Profile, seed uint64, n int, dict []uint64) ([][]byte, error) {
	own, err := Generate(p, seed, n)
	if err != nil || n == 0 {
		return nil, err
	}
	return Blend(own, seed, n, dict), nil
}

// Blend makes n packets around those given, which may be a capture's: two
// thirds are theirs, in their order and as often as needed, the others a
// Fuzzer's with them as corpus. Packets shorter than the kernel runs a program
// on are filled up with zeros.
func Blend(own [][]byte, seed uint64, n int, dict []uint64) [][]byte {
	rng := rand.New(rand.NewPCG(seed, 0xb1e4d))
	f := Fuzzer{Seed: seed, Corpus: own, Dict: dict}
	out := make([][]byte, n)
	for i, next := 0, 0; i < n; i++ {
		if len(own) == 0 || rng.IntN(3) == 0 {
			out[i] = f.packet(rng)
			continue
		}
		out[i] = own[next%len(own)]
		if short := MinPacket - len(out[i]); short > 0 {
			out[i] = append(out[i][:len(out[i]):len(out[i])], make([]byte, short)...)
		}
		next++
	}
	return out
}

// Contexts makes n random contexts of the given size in bytes, for program
// types that get a structure and no packet. Half of their 8-byte words are
// small numbers.
func Contexts(seed uint64, n, size int) [][]byte {
	rng := rand.New(rand.NewPCG(seed, 0xc0))
	out := make([][]byte, n)
	for i := range out {
		b := make([]byte, size)
		for j := range b {
			b[j] = byte(rng.Uint32())
		}
		for j := 0; j < size; j += 8 {
			if rng.IntN(2) == 0 {
				clear(b[min(j+1, size):min(j+8, size)])
			}
		}
		out[i] = b
	}
	return out
}
