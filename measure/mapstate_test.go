package measure

import (
	"bytes"
	"encoding/binary"
	"os/exec"
	"strconv"
	"strings"
	"testing"

	"github.com/superbpf/superbpf/loader"
	"github.com/superbpf/superbpf/loader/kerneltest"
)

func TestReadMapDump(t *testing.T) {
	got, err := ReadMapDump(strings.NewReader(`[{"key":["0x01","0x00"],"value":["0xff","0x02"],"formatted":{"key":1,"value":767}},
		{"key":["0x02","0x00"],"values":[{"cpu":0,"value":["0x0a"]},{"cpu":1,"value":["0x0b"]}]}]`))
	if err != nil || len(got) != 2 || !bytes.Equal(got[0].Key, []byte{1, 0}) || !bytes.Equal(got[0].Value, []byte{0xff, 2}) || !bytes.Equal(got[1].Value, []byte{10}) {
		t.Errorf("%v, %v", got, err)
	}
	for _, bad := range []string{"", "{}", "[", `[{"key":["0x100"],"value":["0"]}]`, `[{"key":["1"]}]`, `[{"value":["1"]}]`, `[{"key":["x"],"value":["1"]}]`, `[1]`} {
		if got, err := ReadMapDump(strings.NewReader(bad)); err == nil {
			t.Errorf("%q gave %v", bad, got)
		}
	}
}

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
	got, err := ReadMapDump(bytes.NewReader(out))
	if err != nil || len(got) != 1 || !bytes.Equal(got[0].Key, []byte{1, 2, 3, 4}) || !bytes.Equal(got[0].Value, want) {
		t.Errorf("%s gave %v, %v", out, got, err)
	}
}
