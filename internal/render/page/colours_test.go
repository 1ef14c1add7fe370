package page

import (
	"bytes"
	"math"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"ecr-continuous-scan/internal/render"
	"ecr-continuous-scan/internal/scan"
	"ecr-continuous-scan/test/rendertest"
)

type rgb [3]float64 // linear light, 0 to 1

// palettes returns the colours of the style in light and in dark mode, as hexadecimal numbers by name.
func palettes(t *testing.T) (light, dark map[string]string) {
	t.Helper()
	before, after, found := strings.Cut(pageStyle, "prefers-color-scheme: dark")
	if !found {
		t.Fatal("the style has no dark mode")
	}
	colours := func(style string) map[string]string {
		all := map[string]string{}
		for _, match := range regexp.MustCompile(`--([a-z-]+): (#[0-9a-f]{6});`).FindAllStringSubmatch(style, -1) {
			all[match[1]] = match[2]
		}
		return all
	}
	return colours(before), colours(after)
}

func parseColour(t *testing.T, s string) rgb {
	t.Helper()
	var c rgb
	for i := range c {
		n, err := strconv.ParseUint(s[1+2*i:3+2*i], 16, 8)
		if err != nil {
			t.Fatal(err)
		}
		if c[i] = float64(n) / 255; c[i] <= 0.04045 {
			c[i] /= 12.92
		} else {
			c[i] = math.Pow((c[i]+0.055)/1.055, 2.4)
		}
	}
	return c
}

func (c rgb) luminance() float64 { return 0.2126*c[0] + 0.7152*c[1] + 0.0722*c[2] }

// contrast is the contrast ratio of WCAG 2.
func contrast(a, b rgb) float64 {
	x, y := a.luminance(), b.luminance()
	return (max(x, y) + 0.05) / (min(x, y) + 0.05)
}

// difference is the distance of two colours in CIELAB (ΔE 1976).
func difference(a, b rgb) float64 {
	lab := func(c rgb) [3]float64 {
		f := func(v float64) float64 {
			if v > 0.008856 {
				return math.Cbrt(v)
			}
			return 7.787*v + 16.0/116
		}
		x, y, z := f((0.4124*c[0]+0.3576*c[1]+0.1805*c[2])/0.95047), f(c.luminance()), f((0.0193*c[0]+0.1192*c[1]+0.9505*c[2])/1.08883)
		return [3]float64{116*y - 16, 500 * (x - y), 200 * (y - z)}
	}
	p, q := lab(a), lab(b)
	return math.Hypot(math.Hypot(p[0]-q[0], p[1]-q[1]), p[2]-q[2])
}

// visions returns how people see a colour: with normal vision, and without one kind of cones (Machado and others, 2009).
func visions() map[string][3]rgb {
	return map[string][3]rgb{
		"normal":       {{1, 0, 0}, {0, 1, 0}, {0, 0, 1}},
		"protanopia":   {{0.152286, 1.052583, -0.204868}, {0.114503, 0.786281, 0.099216}, {-0.003882, -0.048116, 1.051998}},
		"deuteranopia": {{0.367322, 0.860646, -0.227968}, {0.280085, 0.672501, 0.047413}, {-0.011820, 0.042940, 0.968881}},
		"tritanopia":   {{1.255528, -0.076749, -0.178779}, {-0.078411, 0.930809, 0.147602}, {0.004733, 0.691367, 0.303900}},
	}
}

func seen(c rgb, vision [3]rgb) rgb {
	var s rgb
	for i, row := range vision {
		s[i] = min(1, max(0, row[0]*c[0]+row[1]*c[1]+row[2]*c[2]))
	}
	return s
}

// The colours of the severities are visible on the background, and differ for people with each kind of colour blindness.
func TestColoursOfSeverities(t *testing.T) {
	names := []string{"critical", "high", "medium", "low", "info", "other"}
	light, dark := palettes(t)
	for mode, palette := range map[string]map[string]string{"light": light, "dark": dark} {
		for i, name := range names {
			if palette[name] == "" {
				t.Fatalf("%s: no colour %s", mode, name)
			}
			colour := parseColour(t, palette[name])
			if c := contrast(colour, parseColour(t, palette["surface"])); c < 4.5 {
				t.Errorf("%s: %s has a contrast of %.2f", mode, name, c)
			}
			for _, other := range names[:i] {
				for vision, matrix := range visions() {
					least := 15.0
					if vision == "normal" {
						least = 35
					}
					if d := difference(seen(colour, matrix), seen(parseColour(t, palette[other]), matrix)); d < least {
						t.Errorf("%s, %s: the difference between %s and %s is %.1f", mode, vision, name, other, d)
					}
				}
			}
		}
	}
}

// A badge has the colours of the page. Its white text is readable.
func TestColoursOfBadge(t *testing.T) {
	light, _ := palettes(t)
	c := rendertest.Config("test/ubuntu")
	for _, s := range append(scan.Severities(), "BRAND NEW") {
		badge := render.Badge(rendertest.ReportOf(c, rendertest.Image(c, "1", scan.Result{State: scan.Completed, CompletedAt: noon, Counts: scan.Counts{s: 1}})), noon)
		want := light[styleOf(s).Class]
		if !bytes.Contains(badge, []byte(`fill="`+want+`"`)) {
			t.Errorf("%s is not %s: %s", s, want, badge)
		}
		if ratio := contrast(parseColour(t, want), rgb{1, 1, 1}); ratio < 4.5 {
			t.Errorf("%s: white text has a contrast of %.2f", s, ratio)
		}
	}
}

// No severity is shown by its colour alone: each has a shape of its own.
func TestShapesOfSeverities(t *testing.T) {
	shapes := map[string]string{}
	for _, match := range regexp.MustCompile(`(?m)^\.swatch\.([a-z]+) \{ (.*) \}$`).FindAllStringSubmatch(pageStyle, -1) {
		shapes[match[1]] = match[2]
	}
	used := map[string]string{}
	for _, name := range []string{"critical", "high", "medium", "low", "info", "other"} {
		if used[shapes[name]] != "" {
			t.Errorf("%s has the shape of %s", name, used[shapes[name]])
		}
		used[shapes[name]] = name
	}
}
