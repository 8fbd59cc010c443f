"""JavaScript that finds what is wrong with a page: too wide for its window, or hard to read."""

# Boxes of elements that a reader sees.
SEEN = """
const seen = [...document.querySelectorAll('body *')].filter(one =>
    one.checkVisibility({visibilityProperty: true}) && !one.closest('.hidden')
    && !one.closest('code span'));  // A command that is too long scrolls by itself.
const named = one => one.tagName + '.' + (one.getAttribute('class') || '') + ' '
    + one.textContent.trim().slice(0, 40);
"""
TOO_WIDE = """(() => {%s
const width = document.documentElement.clientWidth;
return seen.filter(one => {
    const box = one.getBoundingClientRect();
    return box.width > width || box.right > width + 0.5 || box.left < -0.5;
}).map(named)})()"""
# WCAG 2.2, success criterion 1.4.3: relative luminance and contrast.
LOW_CONTRAST = """(() => {%s
const canvas = document.createElement('canvas').getContext('2d', {willReadFrequently: true});
const rgba = colour => {
    canvas.clearRect(0, 0, 1, 1); canvas.fillStyle = colour; canvas.fillRect(0, 0, 1, 1);
    return [...canvas.getImageData(0, 0, 1, 1).data];
};
const light = ([r, g, b]) => [r, g, b].map(v => v / 255)
    .map(v => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4)
    .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
const ground = one => {
    for (; one; one = one.parentElement) {
        const colour = rgba(getComputedStyle(one).backgroundColor);
        if (colour[3] == 255) return colour;
    }
};
const found = [];
for (const one of seen) {
    const own = [...one.childNodes].some(n => n.nodeType == 3 && n.textContent.trim());
    if (!own || one.tagName == 'title') continue;
    const style = getComputedStyle(one);
    const ink = rgba(one.closest('svg') ? style.fill : style.color);
    const [a, b] = [light(ink), light(ground(one))].sort((x, y) => y - x);
    const contrast = (a + 0.05) / (b + 0.05);
    if (contrast < 4.5) found.push([contrast.toFixed(2), named(one)]);
}
return found})()"""
