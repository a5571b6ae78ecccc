package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/superbpf/superbpf/optimizer/pipeline"
)

// file is one to be written.
type file struct {
	path string
	data []byte
}

// writeOutputs writes the object, its report and its certificate: all three or
// none.
func writeOutputs(out string, res *pipeline.Result, cert *pipeline.Certificate) error {
	cb, err := json.Marshal(cert)
	if err != nil {
		return err
	}
	var rep reportBuffer
	if err := pipeline.WriteReport(&rep, res); err != nil {
		return err
	}
	return writeFiles(file{out + ".cert.json", cb}, file{out + ".report.txt", rep.Bytes()}, file{out, res.Output})
}

// writeFile replaces path atomically.
func writeFile(path string, b []byte) error { return writeFiles(file{path, b}) }

// writeFiles replaces files, each atomically and in the order given, once all of
// them lie complete on the disk without their names. If that fails nothing is
// changed and nothing is left.
func writeFiles(files ...file) error {
	var ready []*pending
	defer func() {
		for _, p := range ready {
			p.drop()
		}
	}()
	for _, f := range files {
		p, err := prepare(f)
		if err != nil {
			return fmt.Errorf("%s cannot be written: %w", f.path, err)
		}
		ready = append(ready, p)
	}
	for _, p := range ready {
		if err := p.rename(); err != nil {
			return fmt.Errorf("%s cannot be written: %w", p.path, err)
		}
	}
	return nil
}

// checkOutput finds out before the work whether the output can be written.
func checkOutput(in, out string) error {
	for _, o := range []string{out, out + ".cert.json", out + ".report.txt"} {
		if same, err := sameFile(in, o); err != nil {
			return err
		} else if same {
			return fail(exitUsage, "%s is the input: name another output", o)
		}
		if st, err := os.Stat(o); err == nil && st.IsDir() {
			return fail(exitUsage, "%s is a directory: name a file", o)
		}
		if _, err := place(o); errors.Is(err, fs.ErrNotExist) {
			return fail(exitUsage, "the folder of %s does not exist: make it, or name another output", o)
		} else if err != nil {
			return fail(exitUsage, "%v", err)
		}
	}
	p, err := prepare(file{out, nil})
	if err != nil {
		return fmt.Errorf("the output cannot be written: %w", err)
	}
	p.drop()
	return nil
}

func sameFile(a, b string) (bool, error) {
	x, err := os.Stat(a)
	if err != nil {
		return false, err
	}
	y, err := os.Stat(b)
	if err != nil {
		return false, nil // the output need not exist yet
	}
	return os.SameFile(x, y), nil
}
