package documents

import (
	"fmt"
	"slices"
	"strings"
)

// Command is a line of shell in a document.
type Command struct {
	Document, Section string
	Line              int
	Text              string
	// Shown is the block below the command in the same section, usually its output. It is nil if there is none.
	Shown *Block
	// Input is the block above the command if its rule says that the command reads a file.
	Input *Block
	Rule  Rule // of a Script's commands
}

func (c Command) String() string { return fmt.Sprintf("%s:%d: %s", c.Document, c.Line, c.Text) }

// isShell reports whether a block has commands. An indented block has, and so has a fenced one that says so.
func (b Block) isShell() bool {
	return !b.Fenced || slices.Contains([]string{"sh", "bash", "shell", "console"}, b.Language)
}

// commands returns the commands of a block. A line that ends with a backslash continues on the next line.
func (b Block) commands() []Command {
	var all []Command
	start := ""
	for i, line := range strings.Split(strings.TrimRight(b.Text, "\n"), "\n") {
		line = start + strings.TrimPrefix(strings.TrimSpace(line), "$ ")
		start = ""
		if before, continues := strings.CutSuffix(line, `\`); continues {
			start = before
		} else if line != "" && !strings.HasPrefix(line, "#") {
			all = append(all, Command{Document: b.Document, Section: b.Section, Line: b.Line + i, Text: line})
		}
	}
	return all
}

// readsFile reports whether the block is in this section and its first command reads a file.
func (b Block) readsFile(section string) bool {
	if !b.isShell() || b.Section != section {
		return false
	}
	found := b.commands()
	if len(found) == 0 {
		return false
	}
	rule, _ := RuleOf(found[0])
	return rule.Input != ""
}

// Commands returns the commands of all documents, in order, and the blocks that are neither commands nor below a command of
// the same section. It ignores YAML, which is for pipelines: no command prints it.
func Commands(documents []Document) ([]Command, []Block) {
	var all []Command
	var others []Block
	for _, d := range documents {
		var input *Block
		for i, b := range d.Blocks {
			if b.isShell() {
				found := b.commands()
				if input != nil {
					found[0].Input, input = input, nil
				}
				all = append(all, found...)
				continue
			}
			if i+1 < len(d.Blocks) && d.Blocks[i+1].readsFile(b.Section) {
				input = &b
				continue
			}
			if b.Language == "yaml" {
				continue
			}
			last := len(all) - 1
			if last >= 0 && all[last].Document == b.Document && all[last].Section == b.Section && all[last].Shown == nil {
				all[last].Shown = &b
			} else {
				others = append(others, b)
			}
		}
	}
	return all, others
}
