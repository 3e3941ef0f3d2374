// reader WAY FILE: prints FILE as WAY reads it.
package main

import (
	"bufio"
	"io"
	"log"
	"os"
	"syscall"
)

func must(err error) {
	if err != nil {
		log.Fatal(err)
	}
}

func main() {
	way, file := os.Args[1], os.Args[2]
	switch way {
	case "ReadFile":
		bytes, err := os.ReadFile(file)
		must(err)
		os.Stdout.Write(bytes)
	case "Scanner":
		f, err := os.Open(file)
		must(err)
		lines := bufio.NewScanner(f)
		for lines.Scan() {
			os.Stdout.Write(lines.Bytes())
		}
		must(lines.Err())
	case "Copy":
		f, err := os.Open(file)
		must(err)
		to, err := os.CreateTemp(".", "copy")
		must(err)
		_, err = io.Copy(to, f)
		must(err)
		bytes, err := os.ReadFile(to.Name())
		must(err)
		os.Stdout.Write(bytes)
	case "Mmap":
		f, err := os.Open(file)
		must(err)
		info, err := f.Stat()
		must(err)
		bytes, err := syscall.Mmap(int(f.Fd()), 0, int(info.Size()), syscall.PROT_READ, syscall.MAP_SHARED)
		must(err)
		os.Stdout.Write(bytes)
	}
}
