// writer WAY FROM TO: replaces TO by the content of FROM as WAY does.
package main

import (
	"log"
	"os"
	"path/filepath"
)

func must(err error) {
	if err != nil {
		log.Fatal(err)
	}
}

func main() {
	way, from, to := os.Args[1], os.Args[2], os.Args[3]
	text, err := os.ReadFile(from)
	must(err)
	switch way {
	case "WriteFile":
		must(os.WriteFile(to, text, 0o644))
	case "Rename":
		f, err := os.CreateTemp(filepath.Dir(to), ".new")
		must(err)
		_, err = f.Write(text)
		must(err)
		must(f.Close())
		must(os.Rename(f.Name(), to))
	}
}
