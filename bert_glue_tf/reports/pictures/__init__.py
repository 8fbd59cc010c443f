"""The pictures of the page: places and texts, which its templates draw as SVG and as HTML.

They are drawn there and not by matplotlib so that they take the page's colours, in a dark scheme
too, and so that their texts stay texts. A figure for a paper comes from `plots`.
"""
