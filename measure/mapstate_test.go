package measure

import (
	"bytes"
	"encoding/binary"
	"os/exec"
	"strconv"
	"testing"

	"github.com/superbpf/superbpf/loader"
	"github.com/superbpf/superbpf/loader/kerneltest"
	"github.com/superbpf/superbpf/measure/mapstate"
)

// What bpftool prints of a real map reads back as its contents.
func TestReadRealMapDump(t *testing.T) {
	kerneltest.Require(t)
	tool, err := exec.LookPath("bpftool")
	if err != nil {
		t.Skip("bpftool is missing")
	}
	m, err := loader.NewRawMap(1, 4, 8, 16)
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	want := make([]byte, 8)
	binary.LittleEndian.PutUint64(want, 0x1122334455667788)
	if err := m.Update([]byte{1, 2, 3, 4}, want); err != nil {
		t.Fatal(err)
	}
	id, err := loader.MapID(m.FD())
	if err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command(tool, "map", "dump", "id", strconv.Itoa(int(id)), "-j").Output()
	if err != nil {
		t.Skipf("bpftool: %v", err)
	}
	got, err := mapstate.ReadDump(bytes.NewReader(out))
	if err != nil || len(got) != 1 || !bytes.Equal(got[0].Key, []byte{1, 2, 3, 4}) || !bytes.Equal(got[0].Value, want) {
		t.Errorf("%s gave %v, %v", out, got, err)
	}
}
