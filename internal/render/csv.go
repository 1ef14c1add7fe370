package render

import (
	"bytes"
	"encoding/csv"
	"fmt"
	"regexp"
)

// formula is what a spreadsheet would calculate, in a cell that begins like this. Some split lines at semicolons too, whatever is quoted, so
// that a cell begins behind each.
var formula = regexp.MustCompile(`(^|;)(\s*)([=+\-@\t\r＝＋－＠])`)

// cell makes a text one that a spreadsheet shows and doesn't calculate: an apostrophe stands before what would begin a formula.
func cell(s string) string { return formula.ReplaceAllString(s, "$1$2'$3") }

// writeCSV writes a table (RFC 4180) with its head. Each cell of text is made harmless, those of the head and of numbers are as well.
func writeCSV(head []string, rows [][]string) ([]byte, error) {
	var b bytes.Buffer
	w := csv.NewWriter(&b)
	w.UseCRLF = true
	if err := w.Write(head); err != nil {
		return nil, fmt.Errorf("write the head of a table: %w", err)
	}
	for _, row := range rows {
		for i := range row {
			row[i] = cell(row[i])
		}
		if err := w.Write(row); err != nil {
			return nil, fmt.Errorf("write a row of a table: %w", err)
		}
	}
	w.Flush()
	return b.Bytes(), w.Error()
}
