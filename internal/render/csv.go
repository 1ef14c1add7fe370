package render

import (
	"bytes"
	"encoding/csv"
	"fmt"
	"regexp"
)

// SafeFor is the kind of program for which a table is made safe.
type SafeFor string

// Programs read the cells as they are. A spreadsheet would calculate some of them.
const (
	Programs    SafeFor = ""
	Spreadsheet SafeFor = "spreadsheet"
)

// formula matches the start of a cell that a spreadsheet would execute as a formula. Some spreadsheets also split quoted cells at semicolons, so a
// formula can start after each semicolon.
var formula = regexp.MustCompile(`(^|;)(\s*)([=+\-@\t\r＝＋－＠])`)

// escapeFormula puts an apostrophe before the start of a formula, so that a spreadsheet shows the text and does not execute it.
func escapeFormula(s string) string { return formula.ReplaceAllString(s, "$1$2'$3") }

// writeCSV writes a table (RFC 4180) with a header row. For a spreadsheet it escapes formulas in all other rows. A program would read the apostrophe
// as part of the value, so that '@babel/traverse matched no package.
func writeCSV(head []string, rows [][]string, safe SafeFor) ([]byte, error) {
	var b bytes.Buffer
	w := csv.NewWriter(&b)
	w.UseCRLF = true
	if err := w.Write(head); err != nil {
		return nil, fmt.Errorf("write the header row of a table: %w", err)
	}
	for _, row := range rows {
		if safe == Spreadsheet {
			for i := range row {
				row[i] = escapeFormula(row[i])
			}
		}
		if err := w.Write(row); err != nil {
			return nil, fmt.Errorf("write a row of a table: %w", err)
		}
	}
	w.Flush()
	return b.Bytes(), w.Error()
}
