package measure

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"

	"github.com/superbpf/superbpf/loader"
)

// FromObject makes a subject of a program in an object file's bytes. fill sets
// the initial contents of the maps of each instance; nil leaves them as the
// object defines them.
func FromObject(name string, object []byte, program string, fill func(*loader.Loaded) error) Subject {
	sum := sha256.Sum256(object)
	return Subject{Name: name, Hash: hex.EncodeToString(sum[:]), Load: func() (*Instance, error) {
		l, err := loader.Open(object, program)
		if err != nil {
			return nil, err
		}
		if fill != nil {
			if err := fill(l); err != nil {
				return nil, errors.Join(err, l.Close())
			}
		}
		inst := &Instance{FD: l.FD(), Close: l.Close}
		for _, m := range l.Maps() {
			v, err := loader.NewMapView(m.FD(), m.Name)
			if err != nil {
				return nil, errors.Join(err, l.Close())
			}
			inst.Maps = append(inst.Maps, v)
		}
		return inst, nil
	}}
}
