// watcher PATH [NAME]: says "ready", and a line for each write to NAME in PATH, or to the file PATH itself.
package main

import (
	"fmt"
	"log"
	"os"
	"path/filepath"

	"github.com/fsnotify/fsnotify"
)

func main() {
	watcher, err := fsnotify.NewWatcher()
	if err != nil {
		log.Fatal(err)
	}
	path := os.Args[1]
	if err := watcher.Add(path); err != nil {
		log.Fatal(err)
	}
	fmt.Println("ready")
	for event := range watcher.Events {
		switch {
		case len(os.Args) > 2 && filepath.Base(event.Name) != os.Args[2]:
		case event.Has(fsnotify.Write), len(os.Args) > 2 && (event.Has(fsnotify.Create) || event.Has(fsnotify.Remove)):
			fmt.Println(event.Op)
		case event.Has(fsnotify.Remove) && len(os.Args) == 2:
			// As after every atomic replace.
			if err := watcher.Add(path); err != nil {
				log.Fatal(err)
			}
		}
	}
}
