// Returns what is wrong with the layout of the page at its present width, as a list of sentences.
(() => {
	const wrong = new Map();
	const say = (what, element, text) => {
		const key = `${what} <${element.localName} class="${element.getAttribute("class") || ""}">`;
		if (!wrong.has(key)) wrong.set(key, `${key}: ${text.trim().slice(0, 60)}`);
	};
	const styles = new Map();
	const styleOf = (element) => {
		if (!styles.has(element)) styles.set(element, getComputedStyle(element));
		return styles.get(element);
	};
	const ancestors = function* (element) {
		for (; element && element !== document.body; element = element.parentElement) yield element;
	};
	const isClipped = (element) => [...ancestors(element)].some((e) => styleOf(e).clipPath.startsWith("inset(50%"));
	const isShortened = (element) => [...ancestors(element)].some((e) => styleOf(e).textOverflow === "ellipsis" && styleOf(e).whiteSpace === "nowrap");

	const width = document.documentElement.clientWidth;
	if (document.documentElement.scrollWidth > width) say("wider than the screen:", document.body, `${document.documentElement.scrollWidth}`);

	// Text is within the padding of each box around it, and a word of a cell is on one line.
	const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
	while (texts.nextNode()) {
		const node = texts.currentNode, element = node.parentElement;
		if (!node.data.trim() || !element.checkVisibility() || element.closest("option, style, .skip") || isClipped(element)) continue;
		const boxes = [...ancestors(element)].filter((e) => styleOf(e).display !== "inline" && e.namespaceURI.endsWith("xhtml"));
		const shortened = isShortened(element), cell = element.closest("td, th");
		for (const word of node.data.matchAll(/[^\s\-\/:@+~_,.]+/g)) {
			const range = document.createRange();
			range.setStart(node, word.index);
			range.setEnd(node, word.index + word[0].length);
			const rectangles = [...range.getClientRects()].filter((r) => r.width > 0);
			const lines = new Set(rectangles.map((r) => Math.round(r.top)));
			if (lines.size > 1 && word[0].length <= 16 && cell) say("a word is broken in", element, word[0]);
			for (const box of shortened ? boxes.slice(1) : boxes) {
				const outer = box.getBoundingClientRect(), style = styleOf(box);
				const left = outer.left + parseFloat(style.borderLeftWidth) + parseFloat(style.paddingLeft);
				const right = outer.right - parseFloat(style.borderRightWidth) - parseFloat(style.paddingRight);
				if (!shortened && rectangles.some((r) => r.left < left - 1 || r.right > right + 1)) say("text is outside of", box, word[0]);
				if (outer.right > width + 1) say("outside of the screen:", box, word[0]);
			}
		}
	}

	// The keyboard never leads to something that nobody sees.
	for (const element of document.querySelectorAll("a[href], button, input:not([type=hidden]), select, summary")) {
		if (!element.checkVisibility()) continue;
		element.focus({preventScroll: true});
		if (document.activeElement !== element) continue;
		const r = element.getBoundingClientRect();
		if (r.width < 2 || r.height < 2 || r.left >= width || r.right <= 0 || isClipped(element)) say("the focus is not visible on", element, element.innerText);
	}
	document.activeElement.blur();

	// Where there is room, the button of a filter is beside its fields.
	const button = document.querySelector("form button")?.getBoundingClientRect();
	const fields = [...document.querySelectorAll("form input:not([type=hidden]), form select")].map((e) => e.getBoundingClientRect());
	if (width >= 1000 && button && !fields.some((r) => r.top < button.bottom && r.bottom > button.top)) say("alone in its row:", document.querySelector("form button"), "");
	return [...wrong.values()];
})();
